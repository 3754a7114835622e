"""Progress of the demo on the terminal."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from siad.apps.lab.demo.report import DemoObservations


class DemoOutput:
    """Prints lines and progress bars."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def notify(self, text: str) -> None:
        """Print one line of progress."""
        self._console.print(f"[dim]siad[/] {text}", highlight=False)

    @contextmanager
    def stream_progress(self, *, cells: int, after_swap: int) -> Iterator["StreamProgress"]:
        """Show progress bars of the stream inside the block."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self._console) as bars:
            yield StreamProgress(bars, cells=cells, after_swap=after_swap)


class StreamProgress:
    """Progress bars of the stream."""

    def __init__(self, bars: Progress, *, cells: int, after_swap: int) -> None:
        self._bars, self._after_swap = bars, after_swap
        self._sent = bars.add_task("cells sent", total=cells)
        self._verdicts = bars.add_task("verdicts", total=cells)
        self._masks = bars.add_task("pseudo-masks", total=cells)
        self._after = bars.add_task("by the segmenter", total=after_swap)
        self._is_reported = False

    def show(self, observations: DemoObservations, by_segmenter: int) -> None:
        """Update the bars; report the first verdict of the segmenter."""
        self._bars.update(self._sent, completed=len(observations.sent))
        self._bars.update(self._verdicts, completed=len(observations.judged()))
        self._bars.update(self._masks, completed=len(observations.masked()))
        self._bars.update(self._after, completed=min(by_segmenter, self._after_swap))
        if by_segmenter and not self._is_reported:
            self._is_reported = True
            self._bars.console.print(f"  the segmenter took over after {len(observations.sent)} cells, mid-stream")
