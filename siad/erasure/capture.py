"""Erase captures on request.

The deletion record is written first, then every object that names the captures is deleted, the receipt last. Every step
may be repeated, and an interrupted run is completed by the next one: a capture is known from its receipt until
everything else is deleted, and from its deletion record afterwards.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import partial
from typing import Final, TypeVar

import structlog

from siad.contracts import keys
from siad.contracts.deletion import CaptureDeletion
from siad.contracts.documents import read_receipt
from siad.contracts.errors import ConflictError, CorruptError, MissingError
from siad.contracts.events import ImageStored
from siad.erasure.rows import count_rows, erase_rows
from siad.erasure.scores import erase_scores, find_scores
from siad.runtime.blobs.port import IF_ABSENT, BlobInfo, Blobs, PutCondition

log = structlog.get_logger()

READS_MAX: Final = 16  # concurrent reads of the store
REWRITES_MAX: Final = 5  # attempts to rewrite a ledger file while the trainer writes it
RECEIPT_DELAY: Final = timedelta(hours=1)  # a receipt is written within this time of its image

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureRemains:
    """Objects in the store that name the captures to erase."""

    line: str
    deletions: tuple[CaptureDeletion, ...]
    unrecorded: tuple[str, ...] = ()  # captures without a deletion record
    receipts: tuple[str, ...] = ()  # keys, here and below
    normals: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()  # images that other captures have too: they stay
    masks: tuple[str, ...] = ()
    corrections: tuple[str, ...] = ()
    ledger: tuple[tuple[str, int], ...] = ()  # files, and how many of their rows name the captures
    scores: tuple[tuple[str, int], ...] = ()  # documents of stream scores, likewise

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left to erase."""
        kinds = (self.unrecorded, self.receipts, self.normals, self.images, self.masks, self.corrections, self.ledger)
        return not any((*kinds, self.scores))


def find_capture(blobs: Blobs, line: str, capture_id: str, *, now: datetime) -> list[CaptureDeletion]:
    """Find a capture by its deletion record, receipt or normal marker."""
    try:
        return [CaptureDeletion.from_json(blobs.get(keys.deletion_key(line, capture_id)).data)]
    except MissingError:
        names = [keys.capture_key(line, capture_id)]
        names += [info.key for info in blobs.list(keys.normals_prefix(line)) if keys.name_of(info.key) == capture_id]
        return _deletions(read_receipts(blobs, names), now=now)


def find_serial(blobs: Blobs, line: str, serial: str, *, now: datetime) -> list[CaptureDeletion]:
    """Find every capture of a part; reads all receipts and normal markers."""
    prefixes = (keys.captures_prefix(line), keys.normals_prefix(line))
    names = [info.key for prefix in prefixes for info in blobs.list(prefix)]
    return _deletions((receipt for receipt in read_receipts(blobs, names) if receipt.serial == serial), now=now)


def find_remains(blobs: Blobs, line: str, deletions: Sequence[CaptureDeletion]) -> CaptureRemains:
    """List the objects that name the captures; nothing is changed."""
    captures = sorted({deletion.capture_id for deletion in deletions})
    existing = partial(_existing, blobs)
    images = existing(sorted({blobs.key_of(deletion.image_uri) for deletion in deletions}))
    shared = _shared(blobs, line, images, captures)
    return CaptureRemains(
        line=line,
        deletions=tuple(deletions),
        unrecorded=tuple(name for name in captures if blobs.head(keys.deletion_key(line, name)) is None),
        receipts=existing([keys.capture_key(line, name) for name in captures]),
        normals=existing([keys.normal_key(line, one.product, one.capture_id) for one in deletions]),
        images=tuple(key for key in images if key not in shared),
        shared=tuple(sorted(shared)),
        masks=tuple(_below(blobs, (keys.masks_prefix(line, name) for name in captures))),
        corrections=tuple(_below(blobs, (keys.corrections_prefix(line, name) for name in captures))),
        ledger=tuple(_ledger(blobs, line, {one.product for one in deletions}, captures)),
        scores=tuple(find_scores(blobs, line, {one.product for one in deletions}, captures)),
    )


def erase_captures(blobs: Blobs, remains: CaptureRemains) -> None:
    """Write the deletion records, then delete the objects.

    Raises:
        ConflictError: the trainer kept writing one ledger file; run it again, no file is half written.
    """
    for deletion in remains.deletions:
        if deletion.capture_id in remains.unrecorded:
            _record(blobs, deletion)
    captures = {deletion.capture_id for deletion in remains.deletions}
    for key in (*remains.masks, *remains.corrections):
        blobs.delete(key)
    # listed anew: the trainer may have merged files since, and leaves out what has a deletion record from now on
    for key, _ in _ledger(blobs, remains.line, {one.product for one in remains.deletions}, captures):
        _rewrite(blobs, key, captures)
    for key, _ in remains.scores:
        erase_scores(blobs, key, captures)
    for key in (*remains.images, *remains.normals, *remains.receipts):  # a serial is found by the last two
        blobs.delete(key)
    log.info(
        "erased", line=remains.line, captures=len(captures), images=len(remains.images), shared=len(remains.shared)
    )


def read_receipts(blobs: Blobs, names: Iterable[str]) -> Iterator[ImageStored]:
    """Read receipts, several at a time; log and omit unreadable ones."""
    for receipt in _concurrently(partial(_receipt, blobs), names):
        if receipt is not None:
            yield receipt


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
        return  # another process erases the capture too


def _existing(blobs: Blobs, names: Sequence[str]) -> tuple[str, ...]:
    heads = _concurrently(blobs.head, names)
    return tuple(key for key, head in zip(names, heads, strict=True) if head is not None)


def _below(blobs: Blobs, prefixes: Iterable[str]) -> Iterator[str]:
    for prefix in prefixes:
        yield from (info.key for info in blobs.list(prefix))


def _shared(blobs: Blobs, line: str, images: Collection[str], captures: Collection[str]) -> set[str]:
    """Images that another capture has too.

    Equal bytes of one line and day are one object.
    """
    if not images:
        return set()
    days = {datetime.combine(keys.day_of_image(key), time(), UTC) for key in images}
    found = [info for info in blobs.list(keys.captures_prefix(line)) if _is_of(info, days)]
    names = [*(info.key for info in found), *(info.key for info in blobs.list(keys.normals_prefix(line)))]
    others = (receipt for receipt in read_receipts(blobs, names) if receipt.capture_id not in captures)
    return {key for receipt in others if (key := blobs.key_of(receipt.image_uri)) in images}


def _is_of(info: BlobInfo, days: Iterable[datetime]) -> bool:
    """Whether a receipt may be of one of the days.

    The store's clock and ours may differ.
    """
    first, last = -RECEIPT_DELAY, timedelta(days=1) + RECEIPT_DELAY
    return any(day + first <= info.modified_at <= day + last for day in days)


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
        remaining = erase_rows(blobs.get(key).data, captures, written_at=info.modified_at)
        if remaining is None:
            blobs.delete(key)
            return
        try:
            blobs.put(key, remaining, content_type="application/vnd.apache.parquet", condition=PutCondition(info.etag))
        except ConflictError:
            continue
        return
    msg = (
        f"{blobs.uri(key)} was written by the trainer {REWRITES_MAX} times while its rows were erased; the file is as "
        "the trainer wrote it. Run the command again"
    )
    raise ConflictError(msg)


def _concurrently(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Call the function for several items at a time; results in order."""
    with ThreadPoolExecutor(READS_MAX, thread_name_prefix="erase") as pool:
        yield from pool.map(function, items)
