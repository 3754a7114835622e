"""Expiry mark of a line: the first days that are kept.

Each line has one mark, which is advanced before the first object is deleted. A receipt older than the mark may
therefore name bytes that no longer exist, and its date tells so. Days are UTC days of ``received_at``.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import ClassVar, Final

from siad.contracts.json_codec import JsonRecord, JsonStyle

NEVER: Final = date.min


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry(JsonRecord):
    """First day that is kept, by kind of object.

    Older objects may be deleted, except normals and members of training sets.
    """

    JSON_STYLE: ClassVar[JsonStyle] = JsonStyle.INDENTED

    images_from: date = NEVER
    masks_from: date = NEVER
    receipts_from: date = NEVER

    def is_expired(self, received_at: datetime) -> bool:
        """Whether the bytes of a capture may have been deleted by age."""
        return received_at.astimezone(UTC).date() < self.images_from

    def moved_on(self, to: "Expiry") -> "Expiry":
        """Return the later day of each kind: a mark never moves back."""
        return Expiry(
            images_from=max(self.images_from, to.images_from),
            masks_from=max(self.masks_from, to.masks_from),
            receipts_from=max(self.receipts_from, to.receipts_from),
        )
