"""Settings of lines: present ones from the topic, others from the store."""

from collections import OrderedDict
from typing import Final

from siad.contracts.errors import CorruptError, MissingError, PoisonError
from siad.contracts.events import LineChanged
from siad.contracts.keys import line_revision_key
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.state_table import StateTable
from siad.runtime.store.lines import StoredLines

REVISIONS_MAX: Final = 1024  # kept in memory, beside the present ones


class KnownLines:
    """The ports ``LineSettings`` and ``PresentLines``."""

    def __init__(self, table: StateTable[LineChanged], blobs: AsyncBlobs) -> None:
        self._table = table
        self._blobs = blobs
        self._stored = StoredLines(blobs)
        self._revisions: OrderedDict[tuple[str, int], LineChanged] = OrderedDict()  # least recently used first

    async def check(self) -> None:
        """Raise TransientError until any settings are known.

        Those of an earlier process count.
        """
        if not self._table.is_known:
            await self._table.check()

    def present(self, line: str) -> LineChanged | None:
        """Return the present settings; None where there is no such line."""
        return self._table.lookup(line)

    async def settings(self, line: str, revision: int) -> LineChanged:
        """Return the settings at one revision.

        An event may be older or newer than the table.

        Raises:
            PoisonError: there is no such revision, so the deadline is unknown.
        """
        present = self._table.lookup(line)
        if present is not None and present.revision == revision:
            return present
        if (known := self._revisions.get((line, revision))) is not None:
            self._revisions.move_to_end((line, revision))
            return known
        try:
            settings = await self._stored.revision(line, revision)
        except (MissingError, CorruptError) as error:
            uri = self._blobs.uri(line_revision_key(line, revision))
            msg = f"the line settings {uri} that a capture names can't be read: {error}"
            raise PoisonError(msg) from error
        self._revisions[line, revision] = settings
        if len(self._revisions) > REVISIONS_MAX:
            self._revisions.popitem(last=False)
        return settings
