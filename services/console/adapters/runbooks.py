"""Runbooks, from ``docs/runbooks`` of the checkout or image."""

import re
from pathlib import Path
from typing import Final

RUNBOOKS: Final = Path(__file__).parents[3] / "docs" / "runbooks"
_NAME: Final = re.compile("Siad[A-Za-z]{1,60}")


class RunbookFiles:
    """The port ``Runbooks``."""

    def __init__(self, folder: Path = RUNBOOKS) -> None:
        self._folder = folder

    def read(self, alert: str) -> str | None:
        """Return the Markdown page of an alert; None without one."""
        path = self._folder / f"{alert}.md"
        return path.read_text(encoding="utf-8") if _NAME.fullmatch(alert) and path.is_file() else None
