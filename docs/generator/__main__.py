"""Write the generated documents: ``python -m docs.generator``.

``--check`` compares them with the code instead, and exits with 1 where one differs.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from docs.generator.chart import values_schema
from docs.generator.commands import commands_chapter
from docs.generator.dashboards import dashboard_files
from docs.generator.decisions import decisions_index
from docs.generator.events import events_chapter, keys_chapter, topics_chapter
from docs.generator.images import images_chapter
from docs.generator.kafka import CHART_FILE, accounts_chapter, chart_topics
from docs.generator.metrics import metrics_chapter
from docs.generator.routes import routes_chapter
from docs.generator.settings import settings_chapter

DOCS: Final = Path(__file__).resolve().parents[1]
COMMAND: Final = "make docs"
CHAPTERS: Final = (
    ("Images", images_chapter),
    ("Settings", settings_chapter),
    ("Metrics", metrics_chapter),
    ("Topics", topics_chapter),
    ("Accounts", accounts_chapter),
    ("Events", events_chapter),
    ("Store", keys_chapter),
    ("Commands", commands_chapter),
    ("HTTP", routes_chapter),
)


def reference() -> str:
    """The text of ``docs/reference.md``."""
    links = ", ".join(f"[{title}](#{title.lower()})" for title, _ in CHAPTERS)
    head = f"# Reference\n\nGenerated from the code by `{COMMAND}`; edit the code, not this file.\n\n{links}"
    chapters = [f"## {title}\n\n{chapter()}" for title, chapter in CHAPTERS]
    return "\n\n".join([head, *chapters]) + "\n"


GENERATED: Final[Mapping[str, Callable[[], str]]] = {
    "reference.md": reference,
    "adr/README.md": decisions_index,
    "../charts/siad/values.schema.json": values_schema,
    CHART_FILE: chart_topics,
    **dashboard_files(),
}


def stale() -> list[str]:
    """Generated documents that differ from the code."""
    return [name for name, make in GENERATED.items() if _committed(DOCS / name) != make()]


def _committed(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def main(arguments: list[str]) -> int:
    """Write the documents, or compare them; the exit status."""
    if "--check" not in arguments:
        for name, make in GENERATED.items():
            (DOCS / name).write_text(make(), encoding="utf-8")
        return 0
    for name in (found := stale()):
        sys.stderr.write(f"docs/{name} differs from the code; run `{COMMAND}` and commit the file\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
