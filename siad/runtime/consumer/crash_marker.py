"""What travels with every commit: enough to find the message that ends the process. Pure.

A process that dies can't say so afterwards, so every commit says beforehand: "if you read this, a process that had
done everything below the offset came to an end without saying goodbye". A clean leave takes the word back.
"""

import re
from dataclasses import dataclass
from typing import Final, Self

_FORM: Final = re.compile(r"careful-until=(\d+) strikes=(\d+)")


@dataclass(frozen=True, slots=True)
class CrashMarker:
    """What the next owner of a partition must know."""

    careful_until: int = 0  # below this offset, one record at a time: one of them may end the process
    strikes: int = 0  # how often the process ended while the record at the committed offset was first in line

    def __str__(self) -> str:
        return f"careful-until={self.careful_until} strikes={self.strikes}" if self != CLEAN else ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a note back; one that is not ours is as good as none."""
        match = _FORM.fullmatch(text)
        return cls(int(match[1]), int(match[2])) if match else cls()


CLEAN: Final = CrashMarker()
