"""Deletion records: which captures were erased on request.

A record takes precedence over every other document that names the capture. It is written before the first object is
deleted and holds all that the deletion needs, so that an interrupted deletion is completed by running it again. It
holds neither the serial number nor pixels.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Self

from siad.contracts.events import ImageStored
from siad.contracts.json_codec import JsonRecord, JsonStyle


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureDeletion(JsonRecord):
    """Erasure of one capture, stored at ``deletions/<line>/<capture_id>.json``."""

    JSON_STYLE: ClassVar[JsonStyle] = JsonStyle.INDENTED

    line: str
    product: str
    capture_id: str
    image_id: str
    image_uri: str
    received_at: datetime
    forgotten_at: datetime

    @classmethod
    def of(cls, receipt: ImageStored, *, at: datetime) -> Self:
        """Build the record for the capture of a receipt."""
        return cls(
            line=receipt.line,
            product=receipt.product,
            capture_id=receipt.capture_id,
            image_id=receipt.image_id,
            image_uri=receipt.image_uri,
            received_at=receipt.received_at,
            forgotten_at=at,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LineDeletion(JsonRecord):
    """Erasure of all captures of a line up to a moment.

    It is stored at ``deletions/<line>/_line.json``. Later captures belong to a new line of the same name.
    """

    JSON_STYLE: ClassVar[JsonStyle] = JsonStyle.INDENTED

    line: str
    before_at: datetime  # latest ``received_at`` that is erased; only grows
    forgotten_at: datetime


@dataclass(frozen=True, slots=True)
class DeletionIndex:
    """All deletion records of one line."""

    captures: Collection[str] = frozenset()
    before_at: datetime | None = None

    def covers(self, capture_id: str, received_at: datetime) -> bool:
        """Whether a capture was erased, so that every reader must ignore it."""
        return capture_id in self.captures or (self.before_at is not None and received_at <= self.before_at)
