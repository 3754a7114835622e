"""`siad forget`: delete what SIAD has of a capture, a part or a line, and say what it can't reach."""

import os
import time
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from siad.apps.local.machine import DATA
from siad.apps.local.reach import reach, reach_settings, told_failures
from siad.contracts.deletion import CaptureDeletion
from siad.contracts.events import WeightsKind
from siad.contracts.ids import require_hex, require_slug
from siad.erasure.capture import CaptureRemains, erase, find_capture, find_serial, survey
from siad.erasure.deletions import KNOWN_S
from siad.erasure.line import erase_line, survey_line
from siad.erasure.weights import AffectedWeights, who_learned
from siad.runtime.blobs.port import Blobs
from siad.runtime.bus.settings import BusSettings

console = Console()
forget_app = typer.Typer(
    name="forget",
    help="Delete a capture, all captures of a part, or all that a line sent; safe to run again where it was cut off.",
    no_args_is_help=True,
)

SETTLE_S: Final = KNOWN_S + 1  # until every stage knows; what it made meanwhile goes in a second look
LOOKS_MAX: Final = 3
STAMP_S: Final = 1.1  # the store stamps by the second: nothing that goes may bear the stamp of the record

Data = Annotated[Path, typer.Option("--data", help="The folder that `siad up` was started with.")]
Line = Annotated[str, typer.Option("--line", help="The line that sent it.")]
Yes = Annotated[bool, typer.Option("--yes", help="Don't ask.")]


@forget_app.command("capture")
def capture(capture_id: str, line: Line, yes: Yes = False, data: Data = DATA) -> None:
    """Forget one capture: its image, masks, corrections, ledger rows and receipt."""
    with told_failures():
        require_hex("capture", capture_id, 32)
        _forget(data, line, lambda blobs, now: find_capture(blobs, line, capture_id, now=now), yes=yes)


@forget_app.command("serial")
def serial(number: str, line: Line, yes: Yes = False, data: Data = DATA) -> None:
    """Forget every capture of the part with this serial."""
    with told_failures():
        _forget(data, line, lambda blobs, now: find_serial(blobs, line, number, now=now), yes=yes)


@forget_app.command("line")
def line(name: str, yes: Yes = False, data: Data = DATA) -> None:
    """Forget all that a line sent. The line has to be ended before: siad line delete."""
    with told_failures():
        require_slug("line", name)
        blobs = reach(data).blobs
        remains = survey_line(blobs, name)
        learned = who_learned(blobs, name, None)
        table = Table("", "objects", title=f"to be deleted of line {name}")
        for kind, count in remains.objects:
            table.add_row(kind, str(count))
        console.print(table)
        _agree(yes)
        time.sleep(STAMP_S)
        erase_line(blobs, remains, now=_now())
        _settle(lambda: _again(blobs, name))
        _say_unreached(learned, data, line=name)
        console.print(
            "Its settings and its weights stay: give a line that is set up anew another name.", soft_wrap=True
        )


def _forget(data: Path, line: str, find: Callable[[Blobs, datetime], list[CaptureDeletion]], *, yes: bool) -> None:
    require_slug("line", line)
    blobs = reach(data).blobs
    deletions = find(blobs, _now())
    if not deletions:
        msg = f"the store has no such capture of line {line!r} (any more); nothing was deleted. Look at line and name"
        raise LookupError(msg)
    remains = survey(blobs, line, deletions)
    learned = who_learned(blobs, line, {one.capture_id for one in deletions})
    if remains.is_empty:
        console.print("nothing is left of it: it was forgotten before")
    else:
        console.print(_table(remains))
        _agree(yes)
        erase(blobs, remains)
        _settle(lambda: _look_again(blobs, line, deletions))
    _say_unreached(learned, data, line=line)


def _look_again(blobs: Blobs, line: str, deletions: Sequence[CaptureDeletion]) -> bool:
    remains = survey(blobs, line, deletions)
    if not remains.is_empty:
        erase(blobs, remains)
    return remains.is_empty


def _again(blobs: Blobs, line: str) -> bool:
    remains = survey_line(blobs, line)
    if left := sum(count for _, count in remains.objects):
        erase_line(blobs, remains, now=_now())
    return not left


def _settle(is_clean: Callable[[], bool]) -> None:
    """Some stage may have been at it: wait until all of them know, and look again."""
    for _ in range(LOOKS_MAX):
        console.print(f"deleted; looking again in {SETTLE_S:g} s, for what a stage was at")
        time.sleep(SETTLE_S)
        if is_clean():
            return
    console.print("[yellow]something still writes of it; run this again in a minute")


def _table(remains: CaptureRemains) -> Table:
    captures = remains.deletions
    table = Table("", "", title=f"to be deleted of line {remains.line}")
    table.add_row("captures", f"{len(captures)}: {_first([one.capture_id for one in captures])}")
    counts = {
        "images": len(remains.images),
        "masks": len(remains.masks),
        "corrections": len(remains.corrections),
        "words that one is normal": len(remains.normals),
        "rows of the ledger": sum(rows for _, rows in remains.ledger),
        "receipts": len(remains.receipts),
    }
    for kind, count in counts.items():
        table.add_row(kind, str(count))
    if remains.shared:
        table.add_row("images that stay", f"{len(remains.shared)}: other captures have the same bytes")
    return table


def _say_unreached(learned: Sequence[AffectedWeights], data: Path, *, line: str) -> None:
    """Be honest about what is left."""
    hours = _retention(data)
    console.print("\nNot reached:")
    console.print(
        f"- the bus: events name it (no pixels) for up to {hours[0]:g} days, dead letters for up to {hours[1]:g}; the "
        "stages pass over them",
        soft_wrap=True,
    )
    console.print("- backups and versions of the store, and whatever read SIAD's verdicts", soft_wrap=True)
    for one in learned:
        what = "bank and golden inputs" if one.kind is WeightsKind.TEACHER else "parameters and golden inputs"
        count = "perhaps some" if one.captures is None else str(one.captures)
        serving = ", and serve now" if one.is_serving else ""
        console.print(
            f"- {one.kind.value} {one.weights[:12]} of {line}/{one.product}: learned from {count} of them ({what})"
            f"{serving}",
            soft_wrap=True,
        )
    if any(one.is_serving and one.kind is WeightsKind.TEACHER for one in learned):
        console.print(
            "  The labeler fits that teacher anew by itself while 10 normals are left; else send more: siad send "
            "--intent normal",
            soft_wrap=True,
        )
    if any(one.is_serving and one.kind is WeightsKind.SEGMENTER for one in learned):
        console.print(
            "  The next training leaves them out of its set, and its segmenter takes over if it is as good.",
            soft_wrap=True,
        )


def _retention(data: Path) -> tuple[float, float]:
    """Days that events and dead letters are kept, as this machine's settings have it."""
    said = reach_settings(data, env=os.environ)
    bus = {name.removeprefix("SIAD_BUS_").lower(): value for name, value in said.items() if "SIAD_BUS_" in name}
    settings = BusSettings.model_validate(bus)
    return settings.work_retention_h / 24, settings.dead_letter_retention_h / 24


def _agree(yes: bool) -> None:
    if not yes and not typer.confirm("Delete this for good?"):
        console.print("nothing was deleted")
        raise typer.Exit(1)


def _first(names: Collection[str]) -> str:
    shown = sorted(names)[:3]
    return escape(", ".join(shown)) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _now() -> datetime:
    return datetime.now(UTC)
