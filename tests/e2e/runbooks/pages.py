"""Transcripts of plays, in the pages of their alerts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

HEADING: Final = "## Played through"
BEGIN, END = "<!-- make runbooks -->", "<!-- end -->"


def write_pages(folder: Path, report: Mapping[str, Mapping[str, Any]], *, divisor: int) -> None:
    """Put each transcript without a failure into the pages of its alerts, in place of the former one."""
    for name, found in report.items():
        if found["failure"]:
            continue
        for alert in sorted({*found["alerts"]} - {*found["failed_alerts"]}):
            page = folder / f"{alert}.md"
            own = transcript_of(found["transcript"], alert, found.get("lines", {}).get(alert, ""))
            page.write_text(with_transcript(page.read_text(), name, {**found, "transcript": own}, divisor=divisor))


def transcript_of(transcript: Sequence[str], alert: str, line: str) -> list[str]:
    """Keep the rows of one line, where several lines were played at once; without a line all."""
    if not line:
        return list(transcript)
    kept: list[str] = []
    is_kept = False
    for row in transcript:
        is_output = row.startswith(" ")  # of the command before it
        is_kept = line in row or (alert in row if "/" not in row and not is_output else is_kept and "drift-" not in row)
        if is_kept:
            kept.append(row)
    return kept


def with_transcript(page: str, name: str, found: Mapping[str, Any], *, divisor: int) -> str:
    """Replace the transcript of a play in a page, or add it at the end."""
    begin = BEGIN.replace("runbooks", f"runbooks {name}")
    said = (
        f"{found['date']}, `make runbooks ARGS={name}`: Kafka, ingest, console and inference, real images; waits and "
        f"windows of the rules divided by {divisor}. {found['fault']}"
    )
    transcript = "\n".join(found["transcript"])
    text = f"{begin}\n{said}\n\n```\n{transcript}\n```\n{END}\n"
    if begin in page:
        before, rest = page.split(begin, 1)
        return before + text + rest.split(f"{END}\n", 1)[1]
    return f"{page.rstrip()}\n\n" + ("" if HEADING in page else f"{HEADING}\n\n") + text
