"""Reads what is to be forgotten. Synchronous, as the store is; await it through ``AsyncBlobs.run``.

Whoever handles captures asks ``known``, which costs one listing a line every few seconds, and ``look`` before it calls
a capture's missing bytes a fault.
"""

from datetime import datetime
from typing import Final

from siad.core.deletion import Forgotten, LineDeletion
from siad.core.errors import MissingError
from siad.core.keys import deletion_key, deletions_prefix, line_deletion_key
from siad.runtime.blobs.port import Blobs
from siad.runtime.clock import SYSTEM_CLOCK, Clock

KNOWN_S: Final = 5.0  # how old ``known`` may be; who forgets looks again after it, for what was made meanwhile


class Deletions:
    """The deletion records of one store; safe to share between threads."""

    def __init__(self, blobs: Blobs, *, clock: Clock = SYSTEM_CLOCK, known_s: float = KNOWN_S) -> None:
        self._blobs, self._clock, self._known_s = blobs, clock, known_s
        self._known: dict[str, tuple[float, Forgotten]] = {}

    def known(self, line: str) -> Forgotten:
        """What is forgotten of a line, as it stood a few seconds ago or now."""
        kept = self._known.get(line)
        if kept is not None and self._clock.monotonic() - kept[0] < self._known_s:
            return kept[1]
        return self.look(line)

    def look(self, line: str) -> Forgotten:
        """What is forgotten of a line, now.

        Raises:
            CorruptError: the line's record can't be read; nobody may act as if there were none.
        """
        at_s, prefix = self._clock.monotonic(), deletions_prefix(line)
        names = [info.key.removeprefix(prefix).removesuffix(".json") for info in self._blobs.list(prefix)]
        found = Forgotten(frozenset(name for name in names if not name.startswith("_")), self._before(line, names))
        self._known[line] = at_s, found
        return found

    def has(self, line: str, capture_id: str) -> bool:
        """Whether there is a record of this one capture, now."""
        return self._blobs.head(deletion_key(line, capture_id)) is not None

    def _before(self, line: str, names: list[str]) -> datetime | None:
        if "_line" not in names:
            return None
        try:
            return LineDeletion.from_json(self._blobs.get(line_deletion_key(line)).data).before_at
        except MissingError:
            return None  # taken away by hand since it was listed
