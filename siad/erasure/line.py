"""Erases a line on request, except its weights and settings.

Erased are all captures accepted up to a moment, and everything derived from them.
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

KINDS: Final = ("masks", "corrections", "normals", "ledger", "training-sets", "backfills", "images", "captures")
# in the order in which they go: who finds a receipt finds what it names, or the line's record


@dataclass(frozen=True, slots=True, kw_only=True)
class LineRemains:
    """What the store still has of a line."""

    line: str
    until_at: datetime | None  # by the store's clock: what was written since is a new line's; None: everything goes
    objects: tuple[tuple[str, int], ...]  # how many of each kind


def is_ended(blobs: Blobs, line: str) -> bool:
    """Whether the line has ended.

    Raises:
        LookupError: there never was such a line.
    """
    try:
        return read_line(blobs.get(keys.line_pointer_key(line)).data).is_gone
    except MissingError as error:
        msg = f"there never was a line {line!r}, so nothing was deleted; look at its name: siad line list"
        raise LookupError(msg) from error


def survey_line(blobs: Blobs, line: str) -> LineRemains:
    """See what there still is; nothing is changed.

    Raises:
        ValueError: the line is alive, and was never to be forgotten: its images would come faster than they go.
        LookupError: there never was such a line.
    """
    record = blobs.head(keys.line_deletion_key(line))
    ended = is_ended(blobs, line)
    if not ended and record is None:
        msg = f"line {line!r} still takes images, so nothing was deleted. End it first: siad line delete {line}"
        raise ValueError(msg)
    until_at = None if ended else record.modified_at if record else None
    counts = tuple((kind, sum(1 for _ in _keys(blobs, line, kind, until_at))) for kind in KINDS)
    return LineRemains(line=line, until_at=until_at, objects=counts)


def erase_line(blobs: Blobs, remains: LineRemains, *, now: datetime) -> None:
    """Write the record, then delete.

    A line created again keeps captures accepted after the record.
    """
    if remains.until_at is None:
        _record(blobs, remains.line, now=now)
    for kind in KINDS:
        for key in _keys(blobs, remains.line, kind, remains.until_at):
            blobs.delete(key)
    log.info("line_erased", line=remains.line, objects=sum(count for _, count in remains.objects))


def _record(blobs: Blobs, line: str, *, now: datetime) -> None:
    """Write the record, or move its bound on."""
    key = keys.line_deletion_key(line)
    before_at, etag = now, None
    try:
        blob = blobs.get(key)
        before_at, etag = max(now, LineDeletion.from_json(blob.data).before_at), blob.etag
    except MissingError:
        pass
    record = LineDeletion(line=line, before_at=before_at, forgotten_at=now)
    blobs.put(key, record.to_json(), content_type="application/json", condition=PutCondition(etag))


def _keys(blobs: Blobs, line: str, kind: str, until_at: datetime | None) -> Iterator[str]:
    for info in blobs.list(f"{kind}/{line}/"):
        if until_at is None or info.modified_at < until_at:  # the store's clock tells whole seconds
            yield info.key
