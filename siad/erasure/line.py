"""Erase on request what a line sent up to a moment.

Weights and settings of the line stay.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog

from siad.contracts import keys
from siad.contracts.deletion import LineDeletion
from siad.contracts.documents import read_line
from siad.contracts.errors import MissingError
from siad.runtime.blobs.port import Blobs, PutCondition

log = structlog.get_logger()

# In the order of their deletion: as long as a receipt exists, what it names is found, or the line's record.
KINDS: Final = (
    "masks",
    "corrections",
    "thresholds",
    "normals",
    "ledger",
    "training-sets",
    "backfills",
    "stream-scores",
    "trials",
    "drift",
    "images",
    "captures",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LineRemains:
    """Objects in the store that belong to a line to erase."""

    line: str
    until_at: datetime | None  # objects written later belong to a new line of the name; None: all; the store's clock
    objects: tuple[tuple[str, int], ...]  # count of each kind


def find_line_remains(blobs: Blobs, line: str) -> LineRemains:
    """Count the objects of a line; nothing is changed.

    Raises:
        ValueError: the line is not ended and was never erased: new images would arrive meanwhile.
        LookupError: there never was such a line.
    """
    record = blobs.head(keys.line_deletion_key(line))
    is_ended = _is_ended(blobs, line)
    if not is_ended and record is None:
        msg = f"line {line!r} still accepts images, so nothing was deleted. End it first: siad line delete {line}"
        raise ValueError(msg)
    until_at = None if is_ended else record.modified_at if record else None
    counts = tuple((kind, sum(1 for _ in _objects(blobs, line, kind, until_at))) for kind in KINDS)
    return LineRemains(line=line, until_at=until_at, objects=counts)


def erase_line(blobs: Blobs, remains: LineRemains, *, now: datetime) -> None:
    """Write the deletion record, then delete the objects.

    A line that was registered again keeps what it sent after the record.
    """
    if remains.until_at is None:
        _record(blobs, remains.line, now=now)
    for kind in KINDS:
        for key in _objects(blobs, remains.line, kind, remains.until_at):
            blobs.delete(key)
    log.info("line_erased", line=remains.line, objects=sum(count for _, count in remains.objects))


def _is_ended(blobs: Blobs, line: str) -> bool:
    try:
        return read_line(blobs.get(keys.line_pointer_key(line)).data).is_gone
    except MissingError as error:
        msg = f"there never was a line {line!r}, so nothing was deleted. Check its name: siad line list"
        raise LookupError(msg) from error


def _record(blobs: Blobs, line: str, *, now: datetime) -> None:
    """Write the record, or advance its bound."""
    key = keys.line_deletion_key(line)
    before_at, etag = now, None
    try:
        blob = blobs.get(key)
        before_at, etag = max(now, LineDeletion.from_json(blob.data).before_at), blob.etag
    except MissingError:
        pass
    record = LineDeletion(line=line, before_at=before_at, forgotten_at=now)
    blobs.put(key, record.to_json(), content_type="application/json", condition=PutCondition(etag))


def _objects(blobs: Blobs, line: str, kind: str, until_at: datetime | None) -> Iterator[str]:
    for info in blobs.list(keys.prefix_of_line_objects(kind, line)):
        if until_at is None or info.modified_at < until_at:  # the store's clock has whole seconds
            yield info.key
