"""Leases of captures: what one page shows, another is not given. Pure.

A lease saves two people the same work. It guards nothing: an answer needs none, and of two
answers the revision decides.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

LEASE_TTL: Final = timedelta(minutes=5)  # a page renews its leases more often


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseHolder:
    """A page that shows captures of a line."""

    line: str
    name: str  # random, of one page
    now: datetime

    @property
    def expires_at(self) -> datetime:
        """End of a lease that is given now."""
        return self.now + LEASE_TTL
