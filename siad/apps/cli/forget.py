"""`siad forget`: delete stored data of a capture, a part or a line."""

import re
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from siad.apps.cli import options
from siad.apps.cli.failures import reported_failures
from siad.apps.cli.tables import list_names, print_pairs
from siad.apps.local.connection import bus_settings, connect
from siad.apps.local.machine import DATA
from siad.apps.local.sign_in import user
from siad.audit.captures import CaptureMatch, find_matches, parse_prefix, require_one
from siad.contracts.audit_log import AuditAction
from siad.contracts.deletion import CaptureDeletion
from siad.contracts.events import WeightsKind
from siad.contracts.ids import require_slug
from siad.erasure.capture import CaptureRemains, erase_captures, find_capture, find_remains, find_serial
from siad.erasure.deletions import RECENT_S
from siad.erasure.line import erase_line, find_line_remains
from siad.erasure.weights import AffectedWeights, find_affected_weights
from siad.runtime.access.audit_log import record
from siad.runtime.blobs.port import Blobs

console = Console()
forget_app = typer.Typer(
    name="forget",
    help="Delete stored data of a capture, a part or a line.",
    no_args_is_help=True,
)

SETTLE_S: Final = RECENT_S + 1  # until every stage has read the deletion; then data written meanwhile is deleted too
CHECKS_MAX: Final = 3
TIMESTAMP_S: Final = 1.1  # the store's timestamps are whole seconds: deleted objects must be older than the record
CAPTURES_SHOWN: Final = 3

Line = Annotated[str, typer.Option("--line", help="The line that sent the data.")]
Yes = Annotated[bool, typer.Option("--yes", help="Delete without asking.")]


@forget_app.command("capture")
def capture(
    capture_id: Annotated[
        str, typer.Argument(metavar="CAPTURE", help="Its id; its first digits are enough if they are unique.")
    ],
    line: Annotated[str | None, typer.Option("--line", help="Search only this line.")] = None,
    yes: Yes = False,
    data: options.Data = DATA,
) -> None:
    """Delete one capture: image, masks, corrections, ledger rows and receipt."""
    with reported_failures():
        if line is not None:
            require_slug("line", line)
        if line is None or not re.fullmatch("[0-9a-f]{32}", capture_id):
            match = _find_one(connect(data).blobs, capture_id, line)
            line, capture_id = match.line, match.capture_id
        place, whole = line, capture_id
        _forget(data, place, lambda blobs, now: find_capture(blobs, place, whole, now=now), yes=yes)


def _find_one(blobs: Blobs, text: str, line: str | None) -> CaptureMatch:
    """Find the only capture whose own id begins so."""
    try:
        prefix = parse_prefix(text)
        matches = [one for one in find_matches(blobs, prefix, line=line) if one.capture_id.startswith(prefix)]
        return require_one(matches, prefix)
    except (ValueError, LookupError) as error:
        msg = f"{error}. Nothing was deleted"
        raise LookupError(msg) from error


@forget_app.command("serial")
def serial(
    number: Annotated[str, typer.Argument(metavar="SERIAL", help="Serial of the part, as it was sent.")],
    line: Line,
    yes: Yes = False,
    data: options.Data = DATA,
) -> None:
    """Delete every capture of the part with this serial."""
    with reported_failures():
        if not number.strip():
            msg = "the serial is empty, which would be every capture without one; nothing was deleted. Name a serial"
            raise ValueError(msg)
        _forget(data, line, lambda blobs, now: find_serial(blobs, line, number, now=now), yes=yes)


@forget_app.command("line")
def line(
    name: Annotated[str, typer.Argument(metavar="LINE", help="Name of the line.")],
    yes: Yes = False,
    data: options.Data = DATA,
) -> None:
    """Delete everything that a line sent.

    End the line first: siad line delete LINE.
    """
    with reported_failures():
        require_slug("line", name)
        blobs = connect(data).blobs
        remains = find_line_remains(blobs, name)
        affected = find_affected_weights(blobs, name, None)
        print_pairs(
            console, [("to be deleted of line", name), *((kind, str(count)) for kind, count in remains.objects)]
        )
        _confirm(yes)
        time.sleep(TIMESTAMP_S)
        erase_line(blobs, remains, now=_now())
        record(blobs, AuditAction.ERASED, user(), f"line {name}", now=_now(), detail="everything that it sent")
        _repeat_until_clean(lambda: _erase_line_again(blobs, name))
        _print_unreached(affected, data, line=name)
        console.print(
            "Settings and weights of the line stay. Give a new line another name, or it continues with them.",
            soft_wrap=True,
        )


def _forget(data: Path, line: str, find: Callable[[Blobs, datetime], list[CaptureDeletion]], *, yes: bool) -> None:
    require_slug("line", line)
    blobs = connect(data).blobs
    deletions = find(blobs, _now())
    if not deletions:
        msg = (
            f"line {line!r} has no such capture in the store (or no longer); nothing was deleted. Check the line and "
            "the capture id or serial"
        )
        raise LookupError(msg)
    remains = find_remains(blobs, line, deletions)
    affected = find_affected_weights(blobs, line, {one.capture_id for one in deletions})
    if remains.is_empty:
        console.print("nothing left to delete: it was deleted before")
    else:
        print_pairs(console, _pairs(remains))
        _confirm(yes)
        erase_captures(blobs, remains)
        what = ", ".join(one.capture_id[:12] for one in deletions[:CAPTURES_SHOWN])
        detail = f"{len(deletions)} captures, with images, masks and corrections: {what}"
        record(blobs, AuditAction.ERASED, user(), f"line {line}", now=_now(), detail=detail)
        _repeat_until_clean(lambda: _erase_again(blobs, line, deletions))
    _print_unreached(affected, data, line=line)


def _erase_again(blobs: Blobs, line: str, deletions: Sequence[CaptureDeletion]) -> bool:
    """Delete what was written meanwhile; whether there was nothing."""
    remains = find_remains(blobs, line, deletions)
    if not remains.is_empty:
        erase_captures(blobs, remains)
    return remains.is_empty


def _erase_line_again(blobs: Blobs, line: str) -> bool:
    """Delete what was written meanwhile; whether there was nothing."""
    remains = find_line_remains(blobs, line)
    is_clean = not sum(count for _, count in remains.objects)
    if not is_clean:
        erase_line(blobs, remains, now=_now())
    return is_clean


def _repeat_until_clean(is_clean: Callable[[], bool]) -> None:
    """Check again for data written meanwhile.

    Every stage must have read the deletion first.
    """
    for _ in range(CHECKS_MAX):
        console.print(f"deleted; checking again in {SETTLE_S:g} s for data that a stage was writing")
        time.sleep(SETTLE_S)
        if is_clean():
            return
    console.print("[yellow]a stage still writes data of it; run this command again in a minute")


def _pairs(remains: CaptureRemains) -> list[tuple[str, str]]:
    captures = remains.deletions
    counts = {
        "images": len(remains.images),
        "masks": len(remains.masks),
        "corrections": len(remains.corrections),
        "markers of normal captures": len(remains.normals),
        "ledger rows": sum(rows for _, rows in remains.ledger),
        "stream scores": sum(rows for _, rows in remains.scores),
        "receipts": len(remains.receipts),
    }
    pairs = [
        ("to be deleted of line", remains.line),
        ("captures", f"{len(captures)}: {list_names((one.capture_id for one in captures), most=CAPTURES_SHOWN)}"),
        *((kind, str(count)) for kind, count in counts.items()),
    ]
    if remains.shared:
        pairs.append(("images that stay", f"{len(remains.shared)}: other captures have the same bytes"))
    return pairs


def _print_unreached(affected: Sequence[AffectedWeights], data: Path, *, line: str) -> None:
    """List copies and weights that this command can't delete."""
    bus = bus_settings(data)
    days, dead_letter_days = bus.work_retention_h / 24, bus.dead_letter_retention_h / 24
    console.print("\nNot deleted:")
    console.print(
        f"- on the bus: events with its id (no pixels) for up to {days:g} days, dead letters for up to "
        f"{dead_letter_days:g}; the stages skip them",
        soft_wrap=True,
    )
    console.print(
        "- backups and object versions of the store, copies in systems that read verdicts, and for up to a day the "
        "caches of browsers that showed it",
        soft_wrap=True,
    )
    for one in affected:
        content = "bank and golden inputs" if one.kind is WeightsKind.TEACHER else "parameters and golden inputs"
        count = "perhaps some" if one.captures is None else str(one.captures)
        serving = ", and serve now" if one.is_serving else ""
        console.print(
            f"- {one.kind.value} {one.weights[:12]} of {line}/{one.product}: learned from {count} of these captures "
            f"({content}){serving}",
            soft_wrap=True,
        )
    if any(one.is_serving and one.kind is WeightsKind.TEACHER for one in affected):
        console.print(
            "  The labeler fits a new teacher without them if 10 normals are left; else send more: siad send "
            "--intent normal",
            soft_wrap=True,
        )
    if any(one.is_serving and one.kind is WeightsKind.SEGMENTER for one in affected):
        console.print(
            "  The next training excludes them; its segmenter replaces this one if it is as good.", soft_wrap=True
        )


def _confirm(yes: bool) -> None:
    if not yes and not typer.confirm("Delete this permanently?"):
        console.print("nothing was deleted")
        raise typer.Exit(1)


def _now() -> datetime:
    return datetime.now(UTC)
