"""Rollbacks by command, made by the stage that owns the pointer.

They are the same moves as those of ``siad rollback``. The command names the pointer's revision as the person saw it. At
another revision nothing is moved, except where the pointer stands already as commanded: then an attempt before a crash
has moved it.
"""

from siad.audit.rollback import Rollback, choose_rollback, roll_back
from siad.contracts.commands import CommandGiven
from siad.contracts.errors import CorruptError, MissingError
from siad.contracts.events import SegmenterStatus, WeightsKind
from siad.contracts.place import Place
from siad.contracts.pointer import Pointer
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.clock import Clock
from siad.runtime.commands import CommandResult, refusal
from siad.runtime.store.quarantine import Quarantine
from siad.runtime.store.registry import Registry
from siad.runtime.store.releases import release_event


def is_as_commanded(command: CommandGiven, pointer: Pointer, teacher: Pointer | None) -> bool:
    """Whether a pointer stands where the command moves it."""
    if pointer.revision != command.moves_revision + 1:
        return False
    if pointer.status is SegmenterStatus.WITHDRAWN:
        return teacher is not None and teacher.weights == command.weights
    return pointer.weights == command.weights


class CommandedRollbacks:
    """Rolls back by command, of teachers and segmenters."""

    def __init__(self, blobs: AsyncBlobs, clock: Clock) -> None:
        self._blobs, self._clock = blobs, clock

    async def roll_back(self, command: CommandGiven) -> CommandResult:
        """Move the pointer, or refuse with the reason.

        Raises:
            ConflictError: a release moved the pointer meanwhile; nothing was changed.
            TransientError: the store is unavailable.
        """
        return await self._blobs.run(self._roll_back, command)

    def _roll_back(self, command: CommandGiven) -> CommandResult:
        place, registry = Place(command.line, command.product), Registry(self._blobs.blobs)
        try:
            segmenter, teacher = (
                registry.pointer(kind, place) for kind in (WeightsKind.SEGMENTER, WeightsKind.TEACHER)
            )
            moved = segmenter if command.moves is WeightsKind.SEGMENTER else teacher
            if moved is not None and is_as_commanded(command, moved, teacher):
                return _done(command, moved)
            barred = Quarantine(self._blobs.blobs).read(command.line).weights
            found = choose_rollback(segmenter, teacher, to=command.weights, barred=barred)
            if _is_stale(command, found):
                return refusal(
                    f"what serves {place} changed after this was confirmed: revision {found.leaves.revision} of the "
                    f"{found.leaves.kind.value}, {command.moves_revision} then; nothing was changed. Look at the "
                    "weights again, and roll back anew"
                )
            return _done(command, roll_back(self._blobs.blobs, found, now=self._clock.now()))
        except (CorruptError, LookupError, MissingError, ValueError) as error:
            return refusal(str(error))


def _is_stale(command: CommandGiven, found: Rollback) -> bool:
    return (found.leaves.kind, found.leaves.revision) != (command.moves, command.moves_revision)


def _done(command: CommandGiven, pointer: Pointer) -> CommandResult:
    left = pointer.rejected[0][:12] if pointer.rejected else ""
    kept = f"; {left} is released again only by a rollback that names it" if left else ""
    return CommandResult(
        detail=f"weights {command.weights[:12]} judge from now on{kept}", events=(release_event(pointer),)
    )
