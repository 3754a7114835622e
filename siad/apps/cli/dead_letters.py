"""`siad dead-letters`: list, show, resend and drop unhandled records."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.markup import escape

from siad.apps.cli import options
from siad.apps.cli.failures import print_failure, reported_failures
from siad.apps.cli.tables import TableContent, print_table
from siad.apps.local.connection import connect
from siad.apps.local.machine import DATA
from siad.audit.dead_letters import STAGES, UNSEEN, Letter, LetterFilter, PlantDeadLetters, event_of
from siad.contracts.dead_letters import LetterState
from siad.contracts.ids import require_slug

T = TypeVar("T")
console, errors = Console(), Console(stderr=True)
ANY = frozenset(LetterState)
KINDS = ("poison", "crash", "quarantine")
EXCERPT_BYTES = 64  # shown of a payload that is not an event

dead_letters_app = typer.Typer(
    help="List, show, resend and drop records that a stage could not handle.", no_args_is_help=True
)

ID_HELP = "As `siad dead-letters list` prints it."
Ids = Annotated[list[str] | None, typer.Argument(metavar="ID...", help=ID_HELP)]
Stage = Annotated[str | None, typer.Option("--stage", help=f"Only of this stage: {', '.join(STAGES)}.")]
Line = Annotated[str | None, typer.Option("--line", help="Only of this line.")]
Kind = Annotated[str | None, typer.Option("--kind", help="Only of this kind: poison, crash or quarantine.")]
Reason = Annotated[str, typer.Option("--reason-contains", help="Only those whose reason contains this; any case.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayRequest:
    """Which letters to resend: by id, line or stage."""

    ids: Sequence[str]
    stage: str | None
    line: str | None
    everything: bool
    payload: Path | None

    def read_payload(self) -> bytes | None:
        """Check the options against each other.

        Return the corrected bytes if a file was named.

        Raises:
            ValueError: the options contradict each other; says what to use instead.
            OSError: the file can't be read.
        """
        if sum((bool(self.ids), self.line is not None, self.everything)) != 1:
            msg = "nothing was sent: name the letters by ID, or by --line LINE, or by --all --stage STAGE"
            raise ValueError(msg)
        if self.everything and self.stage is None:
            msg = f"nothing was sent: --all needs --stage, one of {', '.join(STAGES)}"
            raise ValueError(msg)
        if self.payload is None:
            return None
        if len(self.ids) != 1:
            msg = "nothing was sent: --payload corrects one letter; name exactly one ID"
            raise ValueError(msg)
        return self.payload.read_bytes()


@dead_letters_app.command("list")
def list_(
    stage: Stage = None,
    line: Line = None,
    kind: Kind = None,
    reason_contains: Reason = "",
    limit: Annotated[int, typer.Option("--limit", min=1, help="Print at most so many, the newest.")] = 50,
    everything: Annotated[bool, typer.Option("--all", help="Include letters that were resent or dropped.")] = False,
    data: options.Data = DATA,
    as_json: options.Json = False,
) -> None:
    """List open dead letters, oldest first."""
    states = ANY if everything else UNSEEN
    wanted = LetterFilter(stage=stage, line=line, kind=kind, reason_contains=reason_contains, states=states)
    found = _run(data, lambda letters: _select(letters, wanted))
    if as_json:
        print(json.dumps([_summary(one) for one in found[-limit:]], indent=2))
        return
    if not found:
        console.print("no dead letters" if everything else "no open dead letters (--all includes the others)")
        return
    print_table(console, _table(found[-limit:], with_state=everything))
    if len(found) > limit:
        console.print(f"{len(found) - limit} older letters are not shown; --limit {len(found)} shows all")


@dead_letters_app.command("show")
def show(
    letter: Annotated[str, typer.Argument(metavar="ID", help=ID_HELP)],
    payload: Annotated[Path | None, typer.Option("--payload", help="Write the record's bytes to this file.")] = None,
    data: options.Data = DATA,
) -> None:
    """Show one dead letter as JSON: origin, reason and content."""
    (one,) = _run(data, lambda letters: letters.find([letter]))
    details = _summary(one) | {
        "headers": {name: value.decode("utf-8", "replace") for name, value in one.headers},
        "payload_bytes": len(one.letter.payload),
        "event": event_of(one),
    }
    if details["event"] is None:
        details["payload_begins"] = one.letter.payload[:EXCERPT_BYTES].hex()
    print(json.dumps(details, indent=2))
    if payload is not None:
        with reported_failures():
            payload.write_bytes(one.letter.payload)
        errors.print(f"{len(one.letter.payload)} bytes written to {escape(str(payload))}", highlight=False)


@dead_letters_app.command("replay")
def replay(
    ids: Ids = None,
    stage: Stage = None,
    line: Line = None,
    kind: Kind = None,
    everything: Annotated[bool, typer.Option("--all", help="All letters of --stage.")] = False,
    payload: Annotated[
        Path | None, typer.Option("--payload", help="Send the bytes of this file instead, for one letter.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Include letters that were resent or dropped before.")] = False,
    data: options.Data = DATA,
) -> None:
    """Resend dead letters to their stage, each once.

    Exit status 1 if a letter was not sent.
    """
    with reported_failures():
        request = ReplayRequest(ids=ids or (), stage=stage, line=line, everything=everything, payload=payload)
        corrected = request.read_payload()
    wanted = LetterFilter(stage=stage, line=line, kind=kind, states=ANY if again else UNSEEN)

    async def work(letters: PlantDeadLetters) -> tuple[int, list[str]]:
        chosen = await letters.find(ids) if ids else await _select(letters, wanted)
        return len(chosen), await letters.replay(chosen, again=again, payload=corrected)

    count, refused = _run(data, work)
    _print_outcome("sent again", count, refused)


@dead_letters_app.command("drop")
def drop(
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help=ID_HELP)],
    because: Annotated[str, typer.Option("--because", help="Why they are not needed; stored with each letter.")],
    data: options.Data = DATA,
) -> None:
    """Close dead letters without resending them; only list --all shows them afterwards.

    Exit status 1 if a letter could not be closed.
    """

    async def work(letters: PlantDeadLetters) -> tuple[int, list[str]]:
        if not because.strip():
            msg = "--because is empty; nothing was dropped. Say why the letters are not needed"
            raise ValueError(msg)
        chosen = await letters.find(ids)
        return len(chosen), await letters.drop(chosen, because=because)

    count, refused = _run(data, work)
    _print_outcome("dropped", count, refused)


async def _select(letters: PlantDeadLetters, wanted: LetterFilter) -> list[Letter]:
    if wanted.line is not None:
        require_slug("--line", wanted.line)
    if wanted.kind not in (None, *KINDS):
        msg = f"--kind {wanted.kind!r} is unknown; kinds are {', '.join(KINDS)}"
        raise ValueError(msg)
    if wanted.stage not in (None, *STAGES):
        msg = f"stage {wanted.stage} has no dead letters; these have: {', '.join(STAGES)}"
        raise ValueError(msg)
    stages = STAGES if wanted.stage is None else (wanted.stage,)
    return [one for one in await letters.read(stages) if wanted.matches(one)]


def _run(data: Path, work: Callable[[PlantDeadLetters], Coroutine[Any, Any, T]]) -> T:
    """Do one piece of work on the dead letters of the plant."""
    with reported_failures():
        plant = connect(data)
        return asyncio.run(work(PlantDeadLetters(plant.bus, plant.blobs)))


def _print_outcome(outcome: str, count: int, refused: Sequence[str]) -> None:
    for reason in refused:
        print_failure(reason)
    console.print(f"{count - len(refused)} of {count} dead letters {outcome}", highlight=False)
    if refused:
        raise typer.Exit(1)


def _summary(one: Letter) -> dict[str, Any]:
    mark = one.mark
    return {
        "id": str(one.id),
        "stage": one.id.stage,
        "line": one.line,
        "kind": one.letter.kind,
        "buried_at": one.letter.buried_at.isoformat(),
        "place": {"topic": one.letter.topic, "partition": one.letter.partition, "offset": one.letter.offset},
        "first_topic": one.topic,
        "key": one.letter.key.decode("utf-8", "replace"),
        "reason": one.letter.reason,
        "state": one.state.value,
        "state_since": None if mark is None else mark.at.isoformat(),
        "sent_times": 0 if mark is None else mark.times,
        "because": "" if mark is None else mark.because,
    }


def _table(letters: Sequence[Letter], *, with_state: bool) -> TableContent:
    rows = []
    for one in letters:
        state = (one.state.value,) if with_state else ()
        when = f"{one.letter.buried_at:%Y-%m-%d %H:%M:%S}"
        rows.append([str(one.id), one.id.stage, one.line, when, one.letter.kind, *state, one.letter.reason])
    columns = ("id", "stage", "line", "when (UTC)", "kind", *(("state",) if with_state else ()), "reason")
    return TableContent(columns=columns, rows=rows, is_last_text=True)
