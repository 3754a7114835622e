"""Erases captures on request.

The deletion record is written first; then everything that names the captures goes, the receipt last.

Every step may be done twice, and a run that was cut off anywhere is finished by the next: what a capture was is known
from its receipt until all else is gone, and from its record for ever.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from functools import partial
from typing import Final, TypeVar

import structlog

from siad.contracts import keys
from siad.contracts.deletion import CaptureDeletion
from siad.contracts.documents import read_receipt
from siad.contracts.errors import ConflictError, CorruptError, MissingError
from siad.contracts.events import ImageStored
from siad.erasure.rows import count_rows, without_rows
from siad.runtime.blobs.port import IF_ABSENT, BlobInfo, Blobs, PutCondition

log = structlog.get_logger()

READ_AT_ONCE: Final = 16
REWRITES_MAX: Final = 5  # tries of a ledger file that the trainer writes at the same time
A_DAY: Final = timedelta(days=1, hours=1)  # a receipt is written within the hour of its image

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureRemains:
    """Remaining objects of the captures to erase."""

    line: str
    deletions: tuple[CaptureDeletion, ...]
    unrecorded: tuple[str, ...] = ()  # captures without a deletion record
    receipts: tuple[str, ...] = ()  # keys, here and below
    normals: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()  # images that other captures have too: they stay
    masks: tuple[str, ...] = ()
    corrections: tuple[str, ...] = ()
    ledger: tuple[tuple[str, int], ...] = field(default=())  # files, and how many of their rows go

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left to do."""
        kinds = (self.unrecorded, self.receipts, self.normals, self.images, self.masks, self.corrections, self.ledger)
        return not any(kinds)


def find_capture(blobs: Blobs, line: str, capture_id: str, *, now: datetime) -> list[CaptureDeletion]:
    """Find a capture by its deletion record, receipt or normal marker."""
    try:
        return [CaptureDeletion.from_json(blobs.get(keys.deletion_key(line, capture_id)).data)]
    except MissingError:
        named = [keys.capture_key(line, capture_id)]
        named += [info.key for info in blobs.list(keys.normals_prefix(line)) if keys.name_of(info.key) == capture_id]
        return _deletions(receipts_at(blobs, named), now=now)


def find_serial(blobs: Blobs, line: str, serial: str, *, now: datetime) -> list[CaptureDeletion]:
    """All captures of one serial.

    Reads all receipts and normal markers of the line.
    """
    prefixes = (keys.captures_prefix(line), keys.normals_prefix(line))
    named = [info.key for prefix in prefixes for info in blobs.list(prefix)]
    return _deletions((receipt for receipt in receipts_at(blobs, named) if receipt.serial == serial), now=now)


def survey(blobs: Blobs, line: str, deletions: Sequence[CaptureDeletion]) -> CaptureRemains:
    """See what there still is; nothing is changed."""
    captures = {one.capture_id for one in deletions}
    there = partial(_there, blobs)
    wanted = {blobs.key_of(one.image_uri) for one in deletions}
    images = there(sorted(wanted))
    shared = _shared(blobs, line, images, captures)
    return CaptureRemains(
        line=line,
        deletions=tuple(deletions),
        unrecorded=tuple(one for one in sorted(captures) if blobs.head(keys.deletion_key(line, one)) is None),
        receipts=there([keys.capture_key(line, one) for one in sorted(captures)]),
        normals=there([keys.normal_key(line, one.product, one.capture_id) for one in deletions]),
        images=tuple(key for key in images if key not in shared),
        shared=tuple(sorted(shared)),
        masks=tuple(_under(blobs, (keys.masks_prefix(line, one) for one in sorted(captures)))),
        corrections=tuple(_under(blobs, (keys.corrections_prefix(line, one) for one in sorted(captures)))),
        ledger=tuple(_ledger(blobs, line, {one.product for one in deletions}, captures)),
    )


def erase(blobs: Blobs, remains: CaptureRemains) -> None:
    """Write the record, then delete.

    This order makes an interrupted run safe: the next one finishes it.

    Raises:
        ConflictError: another process keeps writing one ledger file; run it again, no file is half written.
    """
    for one in remains.deletions:
        if one.capture_id in remains.unrecorded:
            _record(blobs, one)
    captures = {one.capture_id for one in remains.deletions}
    for key in (*remains.masks, *remains.corrections):
        blobs.delete(key)
    for key, _ in remains.ledger:
        _rewrite(blobs, key, captures)
    for key in (*remains.images, *remains.normals, *remains.receipts):  # by the last two a serial is found again
        blobs.delete(key)
    log.info(
        "erased", line=remains.line, captures=len(captures), images=len(remains.images), shared=len(remains.shared)
    )


def receipts_at(blobs: Blobs, named: Iterable[str]) -> Iterator[ImageStored]:
    """Read receipts, several at a time.

    Missing and unreadable ones are logged and left out.
    """
    for one in _abreast(partial(_receipt, blobs), named):
        if one is not None:
            yield one


def _receipt(blobs: Blobs, key: str) -> ImageStored | None:
    try:
        return read_receipt(blobs.get(key).data)
    except MissingError:
        return None
    except CorruptError as error:
        log.error("receipt_left_out", key=key, reason=str(error))
        return None


def _deletions(receipts: Iterable[ImageStored], *, now: datetime) -> list[CaptureDeletion]:
    found = {receipt.capture_id: CaptureDeletion.of(receipt, at=now) for receipt in receipts}
    return [found[capture_id] for capture_id in sorted(found)]


def _record(blobs: Blobs, deletion: CaptureDeletion) -> None:
    key = keys.deletion_key(deletion.line, deletion.capture_id)
    try:
        blobs.put(key, deletion.to_json(), content_type="application/json", condition=IF_ABSENT)
    except ConflictError:
        return  # another process erases it, too


def _there(blobs: Blobs, named: Sequence[str]) -> tuple[str, ...]:
    heads = _abreast(blobs.head, named)
    return tuple(key for key, head in zip(named, heads, strict=True) if head is not None)


def _under(blobs: Blobs, prefixes: Iterable[str]) -> Iterator[str]:
    for prefix in prefixes:
        yield from (info.key for info in blobs.list(prefix))


def _shared(blobs: Blobs, line: str, images: Collection[str], captures: Collection[str]) -> set[str]:
    """Images that a remaining capture shares.

    Equal bytes of one line and day are one object.
    """
    if not images:
        return set()
    days = {datetime.combine(keys.day_of_image(key), time(), UTC) for key in images}
    found = [info for info in blobs.list(keys.captures_prefix(line)) if _is_of(info, days)]
    named = [*(info.key for info in found), *(info.key for info in blobs.list(keys.normals_prefix(line)))]
    others = (one for one in receipts_at(blobs, named) if one.capture_id not in captures)
    return {key for one in others if (key := blobs.key_of(one.image_uri)) in images}


def _is_of(info: BlobInfo, days: Iterable[datetime]) -> bool:
    return any(day - timedelta(hours=1) <= info.modified_at <= day + A_DAY for day in days)


def _ledger(blobs: Blobs, line: str, products: Iterable[str], captures: Collection[str]) -> Iterator[tuple[str, int]]:
    for product in sorted(products):
        for info in blobs.list(keys.ledger_prefix(line, product)):
            try:
                rows = count_rows(blobs.get(info.key).data, captures)
            except (MissingError, CorruptError) as error:
                log.error("ledger_file_left_out", key=info.key, reason=str(error))
                continue
            if rows:
                yield info.key, rows


def _rewrite(blobs: Blobs, key: str, captures: Collection[str]) -> None:
    for _ in range(REWRITES_MAX):
        info = blobs.head(key)
        if info is None:
            return
        left = without_rows(blobs.get(key).data, captures, written_at=info.modified_at)
        if left is None:
            blobs.delete(key)
            return
        try:
            blobs.put(key, left, content_type="application/vnd.apache.parquet", condition=PutCondition(info.etag))
        except ConflictError:
            continue
        return
    msg = f"{blobs.uri(key)} was written by others {REWRITES_MAX} times while rows were taken out; run it again"
    raise ConflictError(msg)


def _abreast(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Call for each, several at a time; answers in order."""
    with ThreadPoolExecutor(READ_AT_ONCE, thread_name_prefix="forget") as pool:
        yield from pool.map(function, items)
