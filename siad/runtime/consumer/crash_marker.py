"""Crash marker of a commit: finds the record that ends the process.

Pure.

A process that is killed cannot report it afterwards. So every commit states beforehand: "if you read this, the process
that had completed everything below the offset ended without a final commit". The final commit clears the marker.
"""

import re
from dataclasses import dataclass
from typing import Final, Self

_FORM: Final = re.compile(r"careful-until=(\d+) strikes=(\d+)")  # kept: groups have committed markers in this form


@dataclass(frozen=True, slots=True)
class CrashMarker:
    """What the next owner of a partition must know."""

    isolated_until: int = 0  # below this offset one record at a time is handled: one of them may end the process
    crash_count: int = 0  # how often the process ended while the record at the committed offset was first in line

    def __str__(self) -> str:
        """Return the marker as commit metadata; empty for ``CLEAN``."""
        return f"careful-until={self.isolated_until} strikes={self.crash_count}" if self != CLEAN else ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a marker back; any other text counts as none."""
        match = _FORM.fullmatch(text)
        return cls(int(match[1]), int(match[2])) if match else cls()


CLEAN: Final = CrashMarker()
