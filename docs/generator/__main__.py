"""Write ``docs/reference.md``: ``python -m docs.generator``; ``--check`` only compares and exits with 1."""

import sys
from pathlib import Path
from typing import Final

from docs.generator.commands import commands_chapter
from docs.generator.events import events_chapter, keys_chapter, topics_chapter
from docs.generator.metrics import metrics_chapter
from docs.generator.routes import routes_chapter
from docs.generator.settings import settings_chapter

REFERENCE: Final = Path(__file__).resolve().parents[1] / "reference.md"
COMMAND: Final = "make docs"
CHAPTERS: Final = (
    ("Settings", settings_chapter),
    ("Metrics", metrics_chapter),
    ("Topics", topics_chapter),
    ("Events", events_chapter),
    ("Store", keys_chapter),
    ("Commands", commands_chapter),
    ("HTTP", routes_chapter),
)


def reference() -> str:
    """The whole text of the reference."""
    links = ", ".join(f"[{title}](#{title.lower()})" for title, _ in CHAPTERS)
    head = f"# Reference\n\nGenerated from the code by `{COMMAND}`; edit the code, not this file.\n\n{links}"
    chapters = [f"## {title}\n\n{chapter()}" for title, chapter in CHAPTERS]
    return "\n\n".join([head, *chapters]) + "\n"


def main(arguments: list[str]) -> int:
    """Write the file, or compare it; the exit status."""
    text = reference()
    if "--check" not in arguments:
        REFERENCE.write_text(text, encoding="utf-8")
        return 0
    if REFERENCE.exists() and REFERENCE.read_text(encoding="utf-8") == text:
        return 0
    sys.stderr.write(f"docs/reference.md differs from the code; run `{COMMAND}` and commit the file\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
