"""Snapshot of the capture ledger in the store, and its report."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Self

import structlog

from siad.audit.ledger import CaptureLedger, CapturesDocument, LineReport
from siad.contracts.errors import CorruptError, MissingError
from siad.contracts.json_codec import JsonRecord, JsonStyle, to_plain
from siad.contracts.keys import books_key
from siad.runtime.blobs.aio import AsyncBlobs

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerSnapshot:
    """The capture ledger at one moment."""

    ledger: CaptureLedger
    as_of: datetime
    behind: int  # records that were not read yet
    missing_after_s: Mapping[str, float]  # by line

    def reports(self) -> list[LineReport]:
        """Report every line, by name, as of the snapshot."""
        now_s = self.as_of.timestamp()
        return [
            self.ledger.report(line, now_s=now_s, after_s=self.missing_after_s[line])
            for line in sorted(self.ledger.lines)
        ]

    def to_json(self) -> bytes:
        """Write one document."""
        document = LedgerDocument(
            as_of=self.as_of,
            behind=self.behind,
            missing_after_s=self.missing_after_s,
            books=self.ledger.to_document(),
        )
        return document.to_json()

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read ``to_json`` back.

        Raises:
            CorruptError: the bytes are no capture ledger.
        """
        document = LedgerDocument.from_json(data)
        try:
            return cls(
                ledger=CaptureLedger.of_document(document.books),
                as_of=document.as_of,
                behind=document.behind,
                missing_after_s={line: document.missing_after_s[line] for line in document.books.lines},
            )
        except (KeyError, ValueError) as error:
            msg = f"{len(data)} bytes are not a LedgerDocument: {error!r}"
            raise CorruptError(msg) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerDocument(JsonRecord):
    """Stored form of a ``LedgerSnapshot``."""

    JSON_STYLE: ClassVar[JsonStyle] = JsonStyle.ORDERED

    version: int = 1
    as_of: datetime
    behind: int
    missing_after_s: Mapping[str, float]
    books: CapturesDocument

    def to_json(self) -> bytes:
        """Write the bytes piece by piece.

        ``json.dumps`` would hold the interpreter lock for a whole large ledger.
        """
        pieces = json.JSONEncoder(separators=(",", ":"), allow_nan=False).iterencode(to_plain(self))
        return "".join(pieces).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerReport:
    """Counts of all lines at one moment."""

    as_of: datetime
    behind: int  # records that were not read yet
    lines: list[LineReport]  # by name


async def read_report(blobs: AsyncBlobs) -> LedgerReport | None:
    """Report the last snapshot; None if missing or unreadable.

    A large ledger takes seconds to parse: this happens in a thread of the store.
    """
    try:
        blob = await blobs.get(books_key())
    except MissingError:
        return None
    return await blobs.run(_report, blob.data)


def read_snapshot(data: bytes) -> LedgerSnapshot | None:
    """Read a snapshot; unreadable bytes are logged and give None."""
    try:
        return LedgerSnapshot.from_json(data)
    except CorruptError as error:
        log.error("books_unreadable", key=books_key(), reason=str(error), done="a new ledger is started")
        return None


def _report(data: bytes) -> LedgerReport | None:
    snapshot = read_snapshot(data)
    if snapshot is None:
        return None
    return LedgerReport(as_of=snapshot.as_of, behind=snapshot.behind, lines=snapshot.reports())
