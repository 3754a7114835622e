"""The settings of lines: the present ones from their state topic, any other revision from the store."""

from collections import OrderedDict

from siad.contracts.errors import CorruptError, MissingError, PoisonError
from siad.contracts.events import LineChanged
from siad.contracts.keys import line_revision_key
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.state_table import StateTable
from siad.runtime.store.lines import StoredLines

KEPT_MAX = 1024  # revisions in memory, beside the present ones


class KnownLines:
    """The port ``Lines``."""

    def __init__(self, table: StateTable[LineChanged], blobs: AsyncBlobs) -> None:
        self._table = table
        self._blobs = blobs
        self._stored = StoredLines(blobs)
        self._kept: OrderedDict[tuple[str, int], LineChanged] = OrderedDict()

    async def check(self) -> None:
        """Raise TransientError until the present settings were read."""
        await self._table.check()

    def present(self, line: str) -> LineChanged | None:
        """The settings as they now stand; None where there is no such line."""
        return self._table.lookup(line)

    async def settings(self, line: str, revision: int) -> LineChanged:
        """The settings at one revision: an event may be older than the table, or faster.

        Raises:
            PoisonError: there are none of that revision, so nobody knows the deadline.
        """
        present = self._table.lookup(line)
        if present is not None and present.revision == revision:
            return present
        if (kept := self._kept.get((line, revision))) is not None:
            self._kept.move_to_end((line, revision))
            return kept
        try:
            settings = await self._stored.revision(line, revision)
        except (MissingError, CorruptError) as error:
            uri = self._blobs.uri(line_revision_key(line, revision))
            msg = f"settings {uri} that a capture names can't be read: {error}"
            raise PoisonError(msg) from error
        self._kept[line, revision] = settings
        if len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)
        return settings
