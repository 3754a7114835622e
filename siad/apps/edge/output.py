"""What `siad watch` tells whoever looks at it: a line for each image, fewer when they come fast."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from rich.console import Console
from rich.markup import escape

from siad.apps.edge.plan import JournalEntry
from siad.runtime.clock import Clock

LINES_MAX: Final = 10  # about single files in one second; the others are counted
NAMES_MAX: Final = 20  # listed at the end


def shown(path: str) -> str:
    """A path as a terminal can show it: names need be neither UTF-8 nor printable."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in path)


def images(count: int) -> str:
    """So many images."""
    return "1 image" if count == 1 else f"{count} images"


class WatchOutput:
    """Tells what happens, each trouble once.

    Args:
        console: where to.
        clock: for the time at the head of each line.
    """

    def __init__(self, console: Console, *, clock: Clock) -> None:
        self._console, self._clock = console, clock
        self._second, self._lines, self._unsaid = -1, 0, 0
        self._told: set[tuple[str, str]] = set()
        self._troubles: dict[str, datetime] = {}  # what is away -> since when

    def line(self, text: str, *, style: str = "") -> None:
        """One line, with the time."""
        now = f"{self._clock.now().astimezone():%H:%M:%S}"
        self._console.print(f"{now}  {text}", style=style or None, markup=False, highlight=False, soft_wrap=True)

    def file(self, path: str, what: str, *, style: str = "") -> None:
        """Something about one file; when there is much to tell, only how much."""
        if int(self._clock.monotonic()) != self._second:
            self.flush()
            self._second, self._lines = int(self._clock.monotonic()), 0
        if self._lines < LINES_MAX or style:
            self._lines += 1
            self.line(f"{shown(path)}  {what}", style=style)
        else:
            self._unsaid += 1

    def flush(self) -> None:
        """Tell how many files were not told of."""
        if self._unsaid:
            self.line(f"... and {self._unsaid} more")
            self._unsaid = 0

    def once(self, path: str, what: str) -> None:
        """Something about one file that need not be told again."""
        if (path, what) not in self._told:
            self._told.add((path, what))
            self.file(path, what)

    def trouble(self, what: str, detail: str) -> None:
        """Something is away; told when it begins."""
        if what not in self._troubles:
            self._troubles[what] = self._clock.now()
            self.flush()
            self.line(f"{what}: {detail}", style="yellow")

    def over(self, what: str, *, waiting: int) -> None:
        """What was away is back; told where it was told that it was away."""
        since = self._troubles.pop(what, None)
        if since is not None:
            seconds = (self._clock.now() - since).total_seconds()
            self.line(f"{what}: over, after {seconds:.0f} s; {images(waiting)} waiting", style="green")

    def refused(self, found: Mapping[str, JournalEntry]) -> None:
        """List what was refused, and why."""
        self._listed(
            "refused, and left in place; tried again once changed (also by `touch`):",
            {path: f"{known.code}: {known.detail}" for path, known in found.items()},
        )

    def left(self, found: Mapping[str, str]) -> None:
        """List what could not be handed over, and why."""
        self._listed("not handed over; found again when the watch is started again:", found)

    def _listed(self, title: str, found: Mapping[str, str]) -> None:
        if not found:
            return
        self._console.print(f"[red]{images(len(found))} {title}", highlight=False, soft_wrap=True)
        for path, why in list(found.items())[:NAMES_MAX]:
            self._console.print(f"  {escape(shown(path))}  {escape(why)}", highlight=False, soft_wrap=True)
        if len(found) > NAMES_MAX:
            self._console.print(f"  ... and {len(found) - NAMES_MAX} more", highlight=False)
