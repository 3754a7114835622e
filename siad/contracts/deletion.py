"""What is to be forgotten: the records that win over whatever else names a capture. Pure.

A record is written before the first byte goes, and holds all that it takes to finish: a deletion that was cut off is
done by doing it again. It keeps neither serial nor pixels.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Self

from siad.contracts.errors import CorruptError
from siad.contracts.events import ImageStored


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureDeletion:
    """One capture: ``deletions/<line>/<capture_id>.json``."""

    line: str
    product: str
    capture_id: str
    image_id: str
    image_uri: str
    received_at: datetime
    forgotten_at: datetime

    @classmethod
    def of(cls, receipt: ImageStored, *, at: datetime) -> Self:
        """Forget the capture of a receipt."""
        return cls(
            line=receipt.line,
            product=receipt.product,
            capture_id=receipt.capture_id,
            image_id=receipt.image_id,
            image_uri=receipt.image_uri,
            received_at=receipt.received_at,
            forgotten_at=at,
        )

    def to_json(self) -> bytes:
        """One document."""
        return _write(asdict(self))

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read it back; what a newer writer added is ignored.

        Raises:
            CorruptError: the bytes are no such record.
        """
        return cls(**_read(cls.__slots__, data))


@dataclass(frozen=True, slots=True, kw_only=True)
class LineDeletion:
    """All that a line sent up to a moment: ``deletions/<line>/_line.json``. What comes later is a new line's."""

    line: str
    before_at: datetime  # of ``received_at``; itself included. Only moves on
    forgotten_at: datetime

    def to_json(self) -> bytes:
        """One document."""
        return _write(asdict(self))

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read it back.

        Raises:
            CorruptError: the bytes are no such record.
        """
        return cls(**_read(cls.__slots__, data))


@dataclass(frozen=True, slots=True)
class DeletionIndex:
    """Everything that is forgotten of one line."""

    captures: Collection[str] = frozenset()
    before_at: datetime | None = None

    def covers(self, capture_id: str, received_at: datetime) -> bool:
        """Whether a capture is to be treated as if it had never been."""
        return capture_id in self.captures or (self.before_at is not None and received_at <= self.before_at)


def _write(raw: Mapping[str, Any]) -> bytes:
    plain = {
        name: value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value for name, value in raw.items()
    }
    return json.dumps(plain, indent=1, sort_keys=True).encode()


def _read(names: Collection[str], data: bytes) -> dict[str, Any]:
    try:
        raw = json.loads(data)
        return {name: datetime.fromisoformat(raw[name]) if name.endswith("_at") else str(raw[name]) for name in names}
    except (KeyError, TypeError, ValueError) as error:
        msg = f"{len(data)} bytes are not a deletion record: {error!r}"
        raise CorruptError(msg) from error
