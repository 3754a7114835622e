"""Table of what a folder of labelled images was taken for."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from siad.apps.exit_status import SOME_SKIPPED
from siad.apps.files import printable

if TYPE_CHECKING:  # it imports OpenCV, which `siad --help` does not need
    from siad.apps.lab.evaluate.folder import FolderReport, ImageFolder

SKIPPED_MAX: Final = 10  # named on the terminal; --json has all


def show_folder(folder: "ImageFolder", console: Console) -> None:
    """Print classes, masks and everything that is not used."""
    from siad.apps.lab.evaluate.inventory import class_counts

    table = Table(title=escape(f"{folder.name}: what is evaluated"))
    for column in ("class", "images", "with mask"):
        table.add_column(column, justify="left" if column == "class" else "right")
    table.add_row("normals to fit on", str(len(folder.normals)), "")
    for kind, images, masks in class_counts(folder.samples):
        table.add_row(escape(f"test: {kind}"), str(images), str(masks) if kind in folder.kinds else "")
    console.print(table)
    for text in _lines(folder.report):
        console.print(escape(text), highlight=False, soft_wrap=True)
    show_skipped(folder.report.skipped, folder.path, console)


def show_skipped(skipped: Mapping[Path, str], root: Path, console: Console) -> None:
    """Print files that can't be used, and why."""
    for path, why in list(skipped.items())[:SKIPPED_MAX]:
        name = printable(path.relative_to(root)) if path.is_relative_to(root) else printable(path)
        console.print(f"[yellow]{escape(name)} skipped: {escape(why)}", highlight=False, soft_wrap=True)
    if len(skipped) > SKIPPED_MAX:
        console.print(f"[yellow]... and {len(skipped) - SKIPPED_MAX} more skipped; --json names all", highlight=False)


def end_with_skipped(skipped: Mapping[Path, str], console: Console) -> None:
    """End a command with its own exit status if files were skipped.

    Raises:
        typer.Exit: files were skipped.
    """
    if skipped:
        console.print(f"{len(skipped)} files were skipped, see above; the figures are of the others", highlight=False)
        raise typer.Exit(SOME_SKIPPED)


class SkipLog:
    """Records and prints each skipped file once.

    Args:
        skipped: where to record; files in it were printed already.
        console: to print on.
    """

    def __init__(self, skipped: dict[Path, str], console: Console) -> None:
        self._skipped, self._console = skipped, console

    def __call__(self, path: Path, why: str) -> None:
        """Skip one file."""
        if path not in self._skipped:
            self._skipped[path] = why
            show_skipped({path: why}, path.parent, self._console)


def _lines(report: "FolderReport") -> list[str]:
    folders = [f"{name}: {role}" for name, role in report.taken.items()]
    styles = [f"{count} {style}" for style, count in report.mask_styles.most_common()]
    ignored = ", ".join(f"{count} {rule}" for rule, count in sorted(report.ignored.items()))
    return [
        f"folders: {'; '.join(folders)}",
        *([f"masks read as: {'; '.join(styles)}"] if styles else []),
        *([f"ignored: {ignored}"] if ignored else []),
        *(f"note: {text}" for text in report.notes),
    ]
