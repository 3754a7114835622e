"""Deferrals: captures that a person put off, and why. Pure.

The review gives a person none of the captures that this person put off, for a day. Others are still asked: a colleague
may know. A deferral is no answer, so nothing learns from it, and it lives in the projection alone: where that is built
again, the capture is asked about sooner.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

DEFERRED_FOR: Final = timedelta(days=1)
REASON_MAX: Final = 200  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferral:
    """One capture that one person put off; a later one replaces it."""

    line: str
    capture_id: str
    person: str
    reason: str
    deferred_at: datetime

    @property
    def until(self) -> datetime:
        """When the person is asked again."""
        return self.deferred_at + DEFERRED_FOR
