"""Commands that people give on the page. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from siad.contracts.commands import CommandGiven, CommandKind
from siad.contracts.events import WeightsKind
from siad.contracts.pointer import Pointer


class CommandRefusedError(Exception):
    """A command that can't be carried out; nothing was stored."""


class RollbackTarget(Protocol):
    """Where a rollback leads."""

    @property
    def leaves(self) -> Pointer:
        """Pointer that moves."""
        ...

    @property
    def judges(self) -> str:
        """Weights that judge the line afterwards."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRequest:
    """One command, as a client sends it."""

    line: str
    product: str
    kind: CommandKind
    command_id: str
    by: str
    reason: str
    weights: str = ""  # of a rollback: those to go back to; empty: the ones before

    def to_command(self, target: RollbackTarget | None, *, at: datetime) -> CommandGiven:
        """Make the command.

        Args:
            target: of a rollback, as the pointers are now; None for every other kind.
            at: the time of day.
        """
        return CommandGiven(
            command_id=self.command_id,
            line=self.line,
            product=self.product,
            kind=self.kind,
            by=self.by,
            given_at=at,
            reason=self.reason,
            weights="" if target is None else target.judges,
            moves=WeightsKind.UNSPECIFIED if target is None else target.leaves.kind,
            moves_revision=0 if target is None else target.leaves.revision,
        )
