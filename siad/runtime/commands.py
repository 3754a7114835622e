"""Commands of people, each carried out once by its stage.

The outcome is stored after the act and before the offset is committed. A crash in between repeats the command: acts
must be safe to repeat, and find by the command's id or the pointer's revision that they were done.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog

from siad.contracts.codec import Event
from siad.contracts.commands import CommandFate, CommandGiven, CommandKind, CommandOutcome
from siad.runtime.clock import Clock

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandResult:
    """What an act did, and the events that announce it."""

    detail: str  # one sentence: what was done, or why nothing was
    fate: CommandFate = CommandFate.DONE
    events: tuple[Event, ...] = ()


def refusal(detail: str) -> CommandResult:
    """Make the result of an act that changed nothing."""
    return CommandResult(detail=detail, fate=CommandFate.REFUSED)


Act = Callable[[CommandGiven], Awaitable[CommandResult]]


class CommandOutcomes(Protocol):
    """Outcomes of commands, each written once."""

    async def outcome(self, line: str, command_id: str) -> CommandOutcome | None:
        """Read the outcome of a command; None while there is none."""
        ...

    async def put_outcome(self, line: str, outcome: CommandOutcome) -> None:
        """Store how a command ended; the first one counts."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandDesk:
    """Commands that one stage carries out."""

    stage: str
    outcomes: CommandOutcomes
    acts: Mapping[CommandKind, Act]
    clock: Clock

    async def carry_out(self, command: CommandGiven) -> list[Event]:
        """Carry out a command of this stage, and return what to publish.

        A command of another stage, or one that has an outcome, is left alone.

        Raises:
            ConflictError: another process moved the same object; the repeat reads what it wrote.
            TransientError: the store is unavailable.
        """
        act = self.acts.get(command.kind)
        if command.stage != self.stage or act is None:
            return []
        if await self.outcomes.outcome(command.line, command.command_id) is not None:
            return []
        result = await act(command)
        outcome = CommandOutcome(
            command_id=command.command_id,
            stage=self.stage,
            fate=result.fate,
            detail=result.detail,
            ended_at=self.clock.now(),
        )
        await self.outcomes.put_outcome(command.line, outcome)
        log.info(
            "command_answered",
            line=command.line,
            product=command.product,
            command_id=command.command_id,
            kind=command.kind.value,
            by=command.by,
            fate=result.fate.value,
            detail=result.detail,
        )
        return list(result.events)
