"""Routes of commands: given by people, carried out by stages."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, Protocol, Self

import structlog
from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, ConfigDict, Field

from services.console.domain.commands import CommandRefusedError, CommandRequest
from services.console.routes import ConsoleDependencies, LineName, require_line
from siad.contracts.commands import BY_MAX, REASON_MAX, CommandFate, CommandGiven, CommandKind, CommandOutcome
from siad.contracts.events import WeightsKind
from siad.contracts.ids import SLUG
from siad.runtime.access.guard import person_of
from siad.runtime.deadline import answered_within
from siad.runtime.problems import Problem

log = structlog.get_logger()

SHOWN: Final = 20  # commands of a list
CommandName = Annotated[
    str, Path(pattern="^[0-9a-f]{32}$", description="Its id: 12 digits of the time in ms, then 20 random ones")
]


class Commands(Protocol):
    """Takes commands and lists them. Every call may raise ``TransientError``."""

    async def give(self, request: CommandRequest) -> CommandGiven:
        """Store and publish a command; a repeat returns the stored one.

        Raises:
            CommandRefusedError: it can't be carried out, or the id is that of another; nothing was stored.
        """
        ...

    async def newest(self, line: str, count: int) -> list[tuple[CommandGiven, CommandOutcome | None]]:
        """Read the newest commands of a line, newest first."""
        ...


class KindGiven(StrEnum):
    """What a person may command."""

    TRAIN = "train"
    HOLD = "hold"
    RESUME = "resume"
    ROLLBACK = "rollback"


class CommandBody(BaseModel):
    """A command, as a client sends it."""

    model_config = ConfigDict(extra="forbid")

    kind: KindGiven = Field(
        description="train: request a run now; hold: learn nothing until resume; rollback: serve earlier weights"
    )
    product: str = Field(pattern=f"^{SLUG.pattern}$")
    by: str = Field(min_length=1, max_length=BY_MAX, description="Name of the person; of a session always its person")
    reason: str = Field(default="", max_length=REASON_MAX, description="Why, in the person's words")
    weights: str = Field(
        default="", pattern="^[0-9a-f]{0,64}$", description="Of a rollback: those to go back to; empty: the ones before"
    )


class CommandResponse(BaseModel):
    """A command, and what the stage did about it."""

    command_id: str
    product: str
    kind: CommandKind
    by: str
    given_at: datetime
    reason: str
    weights: str = Field(description="Of a rollback: weights that judge afterwards; otherwise empty")
    moves: WeightsKind
    stage: str = Field(description="Stage that carries it out")
    fate: CommandFate | None = Field(description="null: the stage has not answered yet")
    detail: str = Field(description="What was done, or why nothing was; empty until the stage answers")
    ended_at: datetime | None

    @classmethod
    def of(cls, command: CommandGiven, outcome: CommandOutcome | None) -> Self:
        """Describe a command."""
        return cls(
            command_id=command.command_id,
            product=command.product,
            kind=command.kind,
            by=command.by,
            given_at=command.given_at,
            reason=command.reason,
            weights=command.weights,
            moves=command.moves,
            stage=command.stage,
            fate=None if outcome is None else outcome.fate,
            detail="" if outcome is None else outcome.detail,
            ended_at=None if outcome is None else outcome.ended_at,
        )


class CommandsResponse(BaseModel):
    """The newest commands of a line, newest first."""

    commands: list[CommandResponse]


def make_command_routes(dependencies: ConsoleDependencies, commands: Commands) -> APIRouter:
    """Make the routes."""
    router = APIRouter(prefix="/v1/lines", tags=["commands"])

    @router.get("/{line}/commands", responses={404: {"description": "Unknown line"}})
    async def list_commands(line: LineName) -> CommandsResponse:
        """List the newest commands of a line, with what became of them."""
        async with answered_within(dependencies.settings.accept_timeout_s, f"commands of line {line!r} were not read"):
            await require_line(dependencies, line)
            found = await commands.newest(line, SHOWN)
        return CommandsResponse(commands=[CommandResponse.of(*one) for one in found])

    @router.put(
        "/{line}/commands/{command}",
        status_code=202,
        responses={404: {"description": "Unknown line"}, 409: {"description": "It can't be carried out"}},
    )
    async def give(line: LineName, command: CommandName, body: CommandBody, request: Request) -> CommandResponse:
        """Give a command about what a line learns or what judges it.

        202: it is stored, and the stage that it names carries it out once; the list shows what became of it. A repeat
        by the same id is harmless.
        """
        asked = CommandRequest(
            line=line,
            product=body.product,
            kind=CommandKind(body.kind.value),
            command_id=command,
            by=person_of(request, body.by),
            reason=body.reason,
            weights=body.weights,
        )
        async with answered_within(dependencies.settings.accept_timeout_s, f"command {command} was not stored"):
            await require_line(dependencies, line)
            try:
                given = await commands.give(asked)
            except CommandRefusedError as error:
                raise Problem(409, "command-refused", str(error)) from error
        log.info("command_given", line=line, kind=given.kind.value, by=given.by, command_id=given.command_id)
        return CommandResponse.of(given, None)

    return router
