"""Tables of commands: nothing is cut, however narrow the terminal is.

A table that fits has lines; one that fits only without them has none; else each row is a block of names and values. Off
a terminal, in a pipe or a file, rows are plain text at their full width.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from rich import box
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

TEXT_CHARS_MIN: Final = 24  # width from which on a long text is folded in its column
_BOX_CHARS: Final = 3  # of a column with lines, and one more at the end
_GAP_CHARS: Final = 2  # of a column without lines

Cell = str | Text


@dataclass(frozen=True, slots=True, kw_only=True)
class TableContent:
    """A table to print."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    title: str = ""
    is_last_text: bool = False  # the last column holds sentences, which may be folded


def list_names(names: Iterable[str], *, most: int) -> str:
    """List names in order, and how many more there are."""
    ordered = sorted(names)
    more = len(ordered) - most
    return ", ".join(ordered[:most]) + (f" and {more} more" if more > 0 else "")


def print_table(console: Console, content: TableContent) -> None:
    """Print a table; off a terminal, at its full width."""
    if console.is_terminal:
        console.print(table_for(content, console.width))
        return
    names = [name.replace("\n", " ") for name in content.columns]
    rows = [names, *([_plain(cell) for cell in row] for row in content.rows)]
    widths = [max(cell_len(row[index]) for row in rows) for index in range(len(names))]
    if content.title:
        console.file.write(f"{content.title}\n")
    for row in rows:
        cells = [cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)]
        console.file.write(f"{'  '.join(cells).rstrip()}\n")


def table_for(content: TableContent, width: int) -> RenderableType:
    """Lay a table out for a terminal that is ``width`` characters wide."""
    columns = list(zip(*content.rows, strict=True)) if content.rows else [()] * len(content.columns)
    widths = [
        max([cell_len(line) for line in name.split("\n")] + [cell_len(_plain(cell)) for cell in cells])
        for name, cells in zip(content.columns, columns, strict=True)
    ]
    if content.is_last_text:
        widths[-1] = min(widths[-1], max(TEXT_CHARS_MIN, cell_len(content.columns[-1])))
    needed, count = sum(widths), len(widths)
    if needed + _BOX_CHARS * count + 1 <= width:
        return _table(content, lines=box.ROUNDED)
    if needed + _GAP_CHARS * count <= width:
        return _table(content, lines=None)
    return _blocks(content)


def print_pairs(console: Console, pairs: Sequence[tuple[str, str]]) -> None:
    """Print names and values below each other; off a terminal, unfolded."""
    width = max((len(name) for name, _ in pairs), default=0)
    if console.is_terminal:
        console.print(_pairs(pairs))
        return
    for name, value in pairs:
        console.file.write(f"{name:{width}}  {value}\n".replace("\n", " ").rstrip() + "\n")


def _table(content: TableContent, *, lines: box.Box | None) -> Table:
    title = Text(content.title) if content.title else None
    table = Table(title=title, title_justify="left", box=lines, padding=(0, 1) if lines else (0, _GAP_CHARS, 0, 0))
    for index, name in enumerate(content.columns):
        is_text = content.is_last_text and index == len(content.columns) - 1
        table.add_column(Text(name), overflow="fold", no_wrap=not is_text)
    for row in content.rows:
        table.add_row(*(_text(cell) for cell in row))
    return table


def _blocks(content: TableContent) -> Group:
    names = [name.replace("\n", " ") for name in content.columns]
    parts: list[RenderableType] = [Text(content.title, style="italic")] if content.title else []
    for number, row in enumerate(content.rows):
        if number:
            parts.append(Text(""))
        parts.append(_pairs([*zip(names, row, strict=True)]))
    return Group(*parts)


def _pairs(pairs: Sequence[tuple[str, Cell]]) -> Table:
    table = Table.grid(padding=(0, _GAP_CHARS))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs:
        table.add_row(Text(name), _text(value))
    return table


def _text(cell: Cell) -> Text:
    return Text(cell) if isinstance(cell, str) else cell


def _plain(cell: Cell) -> str:
    return (cell if isinstance(cell, str) else cell.plain).replace("\n", " ")
