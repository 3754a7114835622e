"""Markdown tables and cells."""

from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; cells may hold any text, line breaks and bars included."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def code(text: str) -> str:
    """Text as code; empty text stays empty."""
    return f"`{text}`" if text else ""


def codes(texts: Iterable[str]) -> str:
    """Several pieces of code in one cell."""
    return ", ".join(code(text) for text in texts)


def sentence(text: str) -> str:
    """Text as one sentence: a capital letter first, a full stop last."""
    line = " ".join(text.split()).replace("``", "`")
    if not line:
        return ""
    first = line.split()[0]
    if first.rstrip(",;:.").isalpha():  # an address, a number or a name in code keeps its letters
        line = line[0].upper() + line[1:]
    return line + ("" if line.endswith((".", ":", "!", "?")) else ".")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
