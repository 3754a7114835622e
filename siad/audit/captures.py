"""Search for a capture by the first digits of an id.

The id is that of the capture or of its image. A search reads the names of objects first, and documents only of those
that match.
"""

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import partial
from typing import Final

from siad.contracts import keys
from siad.contracts.deletion import CaptureDeletion
from siad.contracts.documents import read_receipt
from siad.contracts.errors import CorruptError
from siad.contracts.events import ImageStored
from siad.erasure.capture import RECEIPT_DELAY, read_receipts
from siad.runtime.blobs.port import BlobInfo, Blobs

CAPTURE_DIGITS: Final = 32
IMAGE_DIGITS: Final = 64
PREFIX_DIGITS_MIN: Final = 4
NAMES_MAX: Final = 5  # captures that a message names
_LISTS_MAX: Final = 8  # lines searched at once
_CUT: Final = re.compile(r"(\.{2,3}|…)$")  # how messages shorten an id


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureMatch:
    """One capture whose id, or whose image's id, begins as asked."""

    line: str
    capture_id: str
    is_deleted: bool = False  # deleted on request
    product: str = ""  # of a normal without a receipt; else empty


def parse_prefix(text: str) -> str:
    """Read the beginning of an id as a message prints it.

    Raises:
        ValueError: it is no beginning of an id.
    """
    prefix = _CUT.sub("", text.strip()).lower()
    if not re.fullmatch(r"[0-9a-f]+", prefix):
        msg = (
            f"{text!r} is not an id: an id has the digits 0-9 and a-f, {CAPTURE_DIGITS} of a capture and "
            f"{IMAGE_DIGITS} of an image. Copy one from siad verdicts or siad status; its first "
            f"{PREFIX_DIGITS_MIN} digits are enough if they are unique"
        )
        raise ValueError(msg)
    if not PREFIX_DIGITS_MIN <= len(prefix) <= IMAGE_DIGITS:
        digits = "1 digit" if len(prefix) == 1 else f"{len(prefix)} digits"
        msg = f"id {text!r} has {digits}; give {PREFIX_DIGITS_MIN} to {IMAGE_DIGITS}"
        raise ValueError(msg)
    return prefix


def find_matches(blobs: Blobs, prefix: str, *, line: str | None = None) -> list[CaptureMatch]:
    """Find captures by the beginning of an id.

    All lines are searched, or one. Captures are searched first. Only where none matches, images are: of each found
    image, every capture is returned.

    Raises:
        LookupError: ``line`` was never registered.
        TransientError: the store is unavailable.
    """
    names = _names_of_lines(blobs)
    if line is not None:
        _require_known(line, names)
    lines = names if line is None else [line]
    with ThreadPoolExecutor(_LISTS_MAX, thread_name_prefix="search") as pool:
        for search in (_by_capture, _by_image):
            if found := [match for matches in pool.map(partial(search, blobs, prefix), lines) for match in matches]:
                return found
    return []


def require_line(blobs: Blobs, line: str) -> None:
    """Raise LookupError unless the line was registered once."""
    _require_known(line, _names_of_lines(blobs))


def _names_of_lines(blobs: Blobs) -> list[str]:
    return [keys.name_of(info.key) for info in blobs.list(keys.line_pointers_prefix())]


def _require_known(line: str, names: Sequence[str]) -> None:
    if line not in names:
        known = f"registered lines: {', '.join(names)}" if names else "no line is registered yet"
        msg = f"line {line!r} is unknown; {known}"
        raise LookupError(msg)


def read_capture(blobs: Blobs, match: CaptureMatch) -> ImageStored:
    """Read the receipt of a capture.

    Of a normal without one, its marker.

    Raises:
        LookupError: the capture was deleted on request; says when.
        CorruptError: the receipt can't be read.
        MissingError: it was deleted since the search.
    """
    if match.is_deleted:
        raise LookupError(describe_deletion(blobs, match))
    key = keys.capture_key(match.line, match.capture_id)
    if match.product:
        key = keys.normal_key(match.line, match.product, match.capture_id)
    try:
        return read_receipt(blobs.get(key).data)
    except CorruptError as error:
        msg = f"the receipt of capture {match.capture_id} at {blobs.uri(key)} can't be read: {error}"
        raise CorruptError(msg) from error


def describe_deletion(blobs: Blobs, match: CaptureMatch) -> str:
    """Say when a capture was deleted on request."""
    record = CaptureDeletion.from_json(blobs.get(keys.deletion_key(match.line, match.capture_id)).data)
    return (
        f"capture {match.capture_id} of line {match.line} was deleted on request at "
        f"{record.forgotten_at:%Y-%m-%d %H:%M:%S} UTC; its image and masks no longer exist"
    )


def _by_capture(blobs: Blobs, prefix: str, line: str) -> list[CaptureMatch]:
    if len(prefix) > CAPTURE_DIGITS:
        return []
    deleted = {keys.name_of(info.key) for info in blobs.list(f"{keys.deletions_prefix(line)}{prefix}")}
    stored = {keys.name_of(info.key) for info in blobs.list(f"{keys.captures_prefix(line)}{prefix}")}
    found = [
        CaptureMatch(line=line, capture_id=capture_id, is_deleted=capture_id in deleted)
        for capture_id in sorted(deleted | stored)
    ]
    return found or list(_normals(blobs, prefix, line))


def _normals(blobs: Blobs, prefix: str, line: str) -> Iterator[CaptureMatch]:
    """Normals whose receipt has expired."""
    for info in blobs.list(keys.normals_prefix(line)):
        place, capture_id = keys.place_of_normal(info.key), keys.name_of(info.key)
        if place is not None and capture_id.startswith(prefix):
            yield CaptureMatch(line=line, capture_id=capture_id, product=place.product)


def _by_image(blobs: Blobs, prefix: str, line: str) -> list[CaptureMatch]:
    """Captures of matching images; reads the receipts of their days."""
    images = [info.key for info in blobs.list(keys.images_prefix(line)) if _file_name(info.key).startswith(prefix)]
    if not images:
        return []
    days = {datetime.combine(keys.day_of_image(key), time(), UTC) for key in images}
    receipts = [info.key for info in blobs.list(keys.captures_prefix(line)) if _is_of(info, days)]
    found = {one.capture_id for one in read_receipts(blobs, receipts) if one.image_id.startswith(prefix)}
    return [CaptureMatch(line=line, capture_id=capture_id) for capture_id in sorted(found)]


def _is_of(info: BlobInfo, days: set[datetime]) -> bool:
    """Whether a receipt may be of one of the days."""
    return any(day - RECEIPT_DELAY <= info.modified_at <= day + timedelta(days=1) + RECEIPT_DELAY for day in days)


def _file_name(key: str) -> str:
    return key.rsplit("/", 1)[-1]


def require_one(matches: Sequence[CaptureMatch], text: str) -> CaptureMatch:
    """Return the only match.

    Raises:
        LookupError: there is none, or more than one; names them.
    """
    if not matches:
        msg = (
            f"no capture and no image of this plant has an id that begins with {text!r}. Copy the id from siad "
            "verdicts or siad status. It may also have been deleted with its line, or be older than the retention of "
            "receipts"
        )
        raise LookupError(msg)
    if len(matches) > 1:
        shown = ", ".join(f"{one.capture_id} of line {one.line}" for one in matches[:NAMES_MAX])
        more = f" and {len(matches) - NAMES_MAX} more" if len(matches) > NAMES_MAX else ""
        msg = f"{text!r} names {len(matches)} captures: {shown}{more}. Give more digits of one, or its --line"
        raise LookupError(msg)
    return matches[0]
