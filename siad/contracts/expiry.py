"""How far a line's images, masks and receipts have expired. Pure.

One mark a line, moved on before anything is deleted: a receipt from before it may name bytes that are gone, and says
so by its date. Days are UTC, those of ``received_at``.
"""

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final, Self

from siad.contracts.errors import CorruptError

NEVER: Final = date.min


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry:
    """Each kind is kept from its day on; what is older may be gone, unless it is a normal or in a training set."""

    images_from: date = NEVER
    masks_from: date = NEVER
    receipts_from: date = NEVER

    def is_expired(self, received_at: datetime) -> bool:
        """Whether the bytes of a capture may be gone on purpose."""
        return received_at.astimezone(UTC).date() < self.images_from

    def moved_on(self, to: "Expiry") -> "Expiry":
        """The later day of each: what has expired does not come back."""
        return Expiry(
            images_from=max(self.images_from, to.images_from),
            masks_from=max(self.masks_from, to.masks_from),
            receipts_from=max(self.receipts_from, to.receipts_from),
        )

    def to_json(self) -> bytes:
        """One document."""
        days = {name: getattr(self, name).isoformat() for name in self.__slots__}
        return json.dumps(days, indent=1, sort_keys=True).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read it back.

        Raises:
            CorruptError: the bytes are no such mark.
        """
        try:
            raw = json.loads(data)
            return cls(**{name: date.fromisoformat(raw[name]) for name in cls.__slots__})
        except (KeyError, TypeError, ValueError) as error:
            msg = f"{len(data)} bytes are not a mark of expiry: {error!r}"
            raise CorruptError(msg) from error
