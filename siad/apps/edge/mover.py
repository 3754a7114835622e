"""Moves accepted files out of the watched folder.

After a failure, with a pause.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from siad.apps.edge.folder import ChangedError
from siad.apps.edge.plan import FileStamp, FileState, JournalEntry
from siad.apps.edge.ports import WatchCounts, WatchPorts
from siad.apps.files import reason_of

RETRY_S: Final = 5.0
FAILURES_MAX: Final = 3  # in a row


class FileMover:
    """Moves accepted files; does nothing if the watch leaves them in place.

    Args:
        ports: of the watch.
        counts: of the watch; files that can't be moved are added here.
        is_enabled: whether the watch moves files.
    """

    def __init__(self, ports: WatchPorts, counts: WatchCounts, *, is_enabled: bool) -> None:
        self._ports, self._counts, self._is_enabled = ports, counts, is_enabled
        self._not_before_s = 0.0

    async def move_all(self, paths: Sequence[str], entries: Mapping[str, JournalEntry], stop: asyncio.Event) -> None:
        """Move accepted files.

        After a failure the others are tried too; if ``FAILURES_MAX`` fail in a row, the target is at fault.
        """
        if not self._is_enabled or self._ports.clock.monotonic() < self._not_before_s:
            return
        failures = 0
        for path in paths:
            if stop.is_set() or failures == FAILURES_MAX:
                return
            self._counts.unmoved.pop(path, None)
            try:
                await asyncio.to_thread(self._ports.folder.move, path, entries[path].stamp)
            except (FileNotFoundError, ChangedError):
                continue
            except OSError as error:
                why = f"sent, but can't be moved: {reason_of(error)}"
                self._counts.unmoved[path] = why
                self._ports.output.once(path, why)
                self._not_before_s = self._ports.clock.monotonic() + RETRY_S
                failures += 1
            else:
                failures = 0

    def has_work(self, files: Mapping[str, FileStamp], entries: Mapping[str, JournalEntry]) -> bool:
        """Whether accepted files are still to be moved."""
        return self._is_enabled and any(_is_accepted(entries.get(path), stamp) for path, stamp in files.items())


def _is_accepted(entry: JournalEntry | None, stamp: FileStamp) -> bool:
    return entry is not None and entry.state is FileState.HANDED and entry.stamp == stamp
