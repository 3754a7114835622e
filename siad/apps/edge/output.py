"""Output of `siad watch`: at most some lines per second."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from rich.console import Console
from rich.markup import escape

from siad.apps.edge.plan import JournalEntry
from siad.apps.files import counted, printable
from siad.runtime.clock import Clock

LINES_MAX: Final = 10  # about single files in one second; further ones are counted
NAMES_MAX: Final = 20  # listed at the end


def images(count: int) -> str:
    """`1 image`, `2 images`."""
    return counted(count, "image")


class WatchOutput:
    """Prints events of the watch, and each problem once.

    Args:
        console: to print on.
        clock: for the time at the beginning of each line.
    """

    def __init__(self, console: Console, *, clock: Clock) -> None:
        self._console, self._clock = console, clock
        self._second, self._lines, self._uncounted = -1, 0, 0
        self._reported: set[tuple[str, str]] = set()
        self._problems: dict[str, datetime] = {}  # problem -> since when

    def line(self, text: str, *, style: str = "") -> None:
        """Print one line with the time."""
        now = f"{self._clock.now().astimezone():%H:%M:%S}"
        self._console.print(f"{now}  {text}", style=style or None, markup=False, highlight=False, soft_wrap=True)

    def file(self, path: str, text: str, *, style: str = "") -> None:
        """Report one file; after ``LINES_MAX`` in one second, only count it."""
        if int(self._clock.monotonic()) != self._second:
            self.flush()
            self._second, self._lines = int(self._clock.monotonic()), 0
        if self._lines < LINES_MAX or style:
            self._lines += 1
            self.line(f"{printable(path)}  {text}", style=style)
        else:
            self._uncounted += 1

    def flush(self) -> None:
        """Print how many files were only counted."""
        if self._uncounted:
            self.line(f"... and {self._uncounted} more")
            self._uncounted = 0

    def once(self, path: str, text: str) -> None:
        """Report one file; a repeat of the same text is skipped."""
        if (path, text) not in self._reported:
            self._reported.add((path, text))
            self.file(path, text)

    def problem(self, name: str, detail: str) -> None:
        """Report a problem when it begins."""
        if name not in self._problems:
            self._problems[name] = self._clock.now()
            self.flush()
            self.line(f"{name}: {detail}", style="yellow")

    def resolved(self, name: str, *, waiting: int) -> None:
        """Report the end of a problem, if its beginning was reported."""
        since = self._problems.pop(name, None)
        if since is not None:
            seconds = (self._clock.now() - since).total_seconds()
            self.line(f"{name}: resolved after {seconds:.0f} s; {images(waiting)} waiting", style="green")

    def refused(self, found: Mapping[str, JournalEntry]) -> None:
        """List refused files and why."""
        self._list(
            "refused; they stay in place and are sent again once changed (also by `touch`):",
            {path: f"{entry.code}: {entry.detail}" for path, entry in found.items()},
        )

    def unsent(self, found: Mapping[str, str]) -> None:
        """List files that were not sent and why."""
        self._list("not sent; the next start of the watch finds them again:", found)

    def skipped(self, found: Mapping[str, str]) -> None:
        """List files that can't be used and why."""
        self._list("skipped; they are named like images, but can't be read as files:", found)

    def _list(self, title: str, found: Mapping[str, str]) -> None:
        if not found:
            return
        self._console.print(f"[red]{images(len(found))} {title}", highlight=False, soft_wrap=True)
        for path, why in list(found.items())[:NAMES_MAX]:
            self._console.print(f"  {escape(printable(path))}  {escape(why)}", highlight=False, soft_wrap=True)
        if len(found) > NAMES_MAX:
            self._console.print(f"  ... and {len(found) - NAMES_MAX} more", highlight=False)
