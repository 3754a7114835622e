"""`siad dead-letters`: look at what could not be handled, send it again, or let it go."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from siad.apps.local.machine import DATA
from siad.apps.local.reach import reach, told_failures
from siad.audit.dead_letters import STAGES, UNSEEN, Letter, LetterFilter, PlantDeadLetters, event_of
from siad.contracts.dead_letters import LetterState

T = TypeVar("T")
console, errors = Console(), Console(stderr=True)
ANY = frozenset(LetterState)
EXCERPT_BYTES = 64  # of bytes that are no event

dead_letters_app = typer.Typer(
    help="Look at what could not be handled, send it again, or let it go.", no_args_is_help=True
)

Ids = Annotated[list[str] | None, typer.Argument(metavar="ID...", help="As `siad dead-letters list` shows them.")]
Stage = Annotated[str | None, typer.Option("--stage", help=f"Only of one stage: {', '.join(STAGES)}.")]
Line = Annotated[str | None, typer.Option("--line", help="Only of one line.")]
Kind = Annotated[str | None, typer.Option("--kind", help="Only of one kind: poison, crash, quarantine.")]
Reason = Annotated[str, typer.Option("--reason-contains", help="Only those whose reason says so; case is ignored.")]
Data = Annotated[Path, typer.Option("--data", help="The folder that `siad up` was started with.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@dead_letters_app.command("list")
def list_(
    stage: Stage = None,
    line: Line = None,
    kind: Kind = None,
    reason_contains: Reason = "",
    limit: Annotated[int, typer.Option("--limit", min=1, help="Show so many at most, the newest.")] = 50,
    everything: Annotated[bool, typer.Option("--all", help="Also what was sent again or dropped.")] = False,
    data: Data = DATA,
    as_json: Json = False,
) -> None:
    """Show dead letters that nobody has seen to yet, the oldest first."""
    states = ANY if everything else UNSEEN
    wanted = LetterFilter(stage=stage, line=line, kind=kind, reason_contains=reason_contains, states=states)
    found = _do(data, lambda letters: _select(letters, wanted))
    if as_json:
        print(json.dumps([_summary(one) for one in found[-limit:]], indent=2))
        return
    if not found:
        console.print("no dead letters" if everything else "no dead letters to see to (--all shows the others)")
        return
    console.print(_table(found[-limit:], with_state=everything))
    if len(found) > limit:
        console.print(f"{len(found) - limit} older ones are not shown; --limit {len(found)} shows all")


@dead_letters_app.command("show")
def show(
    letter: Annotated[str, typer.Argument(metavar="ID", help="As `siad dead-letters list` shows it.")],
    payload: Annotated[Path | None, typer.Option("--payload", help="Write the buried bytes to this file.")] = None,
    data: Data = DATA,
) -> None:
    """Show one dead letter: where it lay, why it was buried, what it says."""
    (one,) = _do(data, lambda letters: letters.find([letter]))
    said = _summary(one) | {
        "headers": {name: value.decode("utf-8", "replace") for name, value in one.headers},
        "payload_bytes": len(one.letter.payload),
        "event": event_of(one),
    }
    if said["event"] is None:
        said["payload_begins"] = one.letter.payload[:EXCERPT_BYTES].hex()
    print(json.dumps(said, indent=2))
    if payload is not None:
        with told_failures():
            payload.write_bytes(one.letter.payload)
        errors.print(f"{len(one.letter.payload)} bytes written to {escape(str(payload))}", highlight=False)


@dead_letters_app.command("replay")
def replay(
    ids: Ids = None,
    stage: Stage = None,
    line: Line = None,
    kind: Kind = None,
    everything: Annotated[bool, typer.Option("--all", help="All of --stage.")] = False,
    payload: Annotated[Path | None, typer.Option("--payload", help="Send these bytes for one mended letter.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Also what was sent or dropped before.")] = False,
    data: Data = DATA,
) -> None:
    """Send dead letters to the stage that buried them, each once; exit 1 where one was refused."""
    with told_failures():
        mended = _require_replay(ids, stage=stage, line=line, everything=everything, payload=payload)
    wanted = LetterFilter(stage=stage, line=line, kind=kind, states=ANY if again else UNSEEN)

    async def work(letters: PlantDeadLetters) -> tuple[int, list[str]]:
        chosen = await letters.find(ids) if ids else await _select(letters, wanted)
        return len(chosen), await letters.replay(chosen, again=again, payload=mended)

    count, refused = _do(data, work)
    _tell("sent again", count, refused)


@dead_letters_app.command("drop")
def drop(
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="As `siad dead-letters list` shows them.")],
    because: Annotated[str, typer.Option("--because", help="Why nobody needs them; kept with the letter.")],
    data: Data = DATA,
) -> None:
    """Let dead letters go: they are not listed any more, save with --all; exit 1 where one was refused."""

    async def work(letters: PlantDeadLetters) -> tuple[int, list[str]]:
        chosen = await letters.find(ids)
        return len(chosen), await letters.drop(chosen, because=because)

    count, refused = _do(data, work)
    _tell("dropped", count, refused)


def _require_replay(
    ids: Sequence[str] | None, *, stage: str | None, line: str | None, everything: bool, payload: Path | None
) -> bytes | None:
    """Hold the options against each other; the bytes of the mended letter where there is one.

    Raises:
        ValueError: says what to say instead.
        OSError: the file can't be read.
    """
    if sum((bool(ids), line is not None, everything)) != 1:
        msg = "say which letters to send again: their IDs, or --line LINE, or --all --stage STAGE; nothing was sent"
        raise ValueError(msg)
    if everything and stage is None:
        msg = f"--all needs --stage, one of {', '.join(STAGES)}; nothing was sent"
        raise ValueError(msg)
    if payload is None:
        return None
    if ids is None or len(ids) != 1:
        msg = "--payload mends one letter: name its ID, and no other; nothing was sent"
        raise ValueError(msg)
    return payload.read_bytes()


async def _select(letters: PlantDeadLetters, wanted: LetterFilter) -> list[Letter]:
    if wanted.stage not in (None, *STAGES):
        msg = f"no stage {wanted.stage} has dead letters; these have: {', '.join(STAGES)}"
        raise ValueError(msg)
    stages = STAGES if wanted.stage is None else (wanted.stage,)
    return [one for one in await letters.read(stages) if wanted.matches(one)]


def _do(data: Path, work: Callable[[PlantDeadLetters], Coroutine[Any, Any, T]]) -> T:
    """Have one thing done; what goes wrong is told in a line, and ends the command with 1."""
    with told_failures():
        reached = reach(data)
        return asyncio.run(work(PlantDeadLetters(reached.bus, reached.blobs)))


def _tell(what: str, count: int, refused: Sequence[str]) -> None:
    for reason in refused:
        errors.print(f"[red]{escape(reason)}", highlight=False, soft_wrap=True)
    console.print(f"{count - len(refused)} of {count} dead letters {what}", highlight=False)
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


def _table(letters: Sequence[Letter], *, with_state: bool) -> Table:
    table = Table()
    for column in ("id", "stage", "line", "when (UTC)", "kind", *(("state",) if with_state else ())):
        table.add_column(column, no_wrap=True)
    table.add_column("reason")
    for one in letters:
        state = (one.state.value,) if with_state else ()
        when = f"{one.letter.buried_at:%Y-%m-%d %H:%M:%S}"
        table.add_row(str(one.id), one.id.stage, one.line, when, one.letter.kind, *state, escape(one.letter.reason))
    return table
