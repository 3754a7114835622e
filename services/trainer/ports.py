"""What the trainer's handlers and reconciler need of the world."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from services.trainer.domain.ledger import LedgerFile, LedgerRow
from services.trainer.domain.records import CandidateJudgement, RunSpec
from services.trainer.domain.schedule import RunState
from services.trainer.domain.training_set import NormalCapture, TrainingSet
from siad.contracts.deletion import DeletionIndex
from siad.contracts.events import LineChanged, WeightsKind
from siad.contracts.manifest import Manifest
from siad.contracts.pointer import Pointer


class DeletionReader(Protocol):
    """What is to be forgotten."""

    async def look(self, line: str) -> DeletionIndex:
        """All of a line, now."""
        ...


class MaskLedger(Protocol):
    """Where pseudo-masks are written down."""

    async def write(self, key: str, rows: Sequence[LedgerRow]) -> None:
        """Store one file of rows; return once the store has acknowledged it. The same key overwrites itself.

        Raises:
            TransientError: the store is away.
        """
        ...

    async def read(self, line: str, product: str) -> list[LedgerFile]:
        """The files of a line and product; of very many, the newest."""
        ...


class TrainingSetStore(Protocol):
    """Where frozen training sets lie."""

    async def put(self, line: str, product: str, chosen: TrainingSet) -> None:
        """Store one set under its digest."""
        ...

    async def list_members(self, line: str, product: str) -> None:
        """See that of every set it is written down whom it names."""
        ...


class RunStore(Protocol):
    """Where runs are written down. Records are write-once: a second is refused by ConflictError."""

    async def read(self, line: str, product: str) -> list[RunState]:
        """Every run of a line and product, oldest first."""
        ...

    async def put_spec(self, spec: RunSpec) -> None:
        """Write what a run is to do."""
        ...

    async def put_attempt(self, run: str, number: int, started_at: datetime) -> None:
        """Write that a run's job is about to start for the ``number``-th time."""
        ...

    async def put_judgement(self, judgement: CandidateJudgement) -> None:
        """Write what was decided."""
        ...


class JobRunner(Protocol):
    """Where training jobs run."""

    def turn(self) -> AbstractAsyncContextManager[None]:
        """Wait until there is room for a job."""
        ...

    async def run(self, run: str) -> int:
        """Run the job of ``run`` to its end; give its exit status."""
        ...


class ReleaseStore(Protocol):
    """Which weights serve, and the way to change that."""

    async def teachers(self) -> list[Pointer]:
        """Every teacher that a line and product have."""
        ...

    async def pointer(self, kind: WeightsKind, line: str, product: str) -> Pointer | None:
        """What a line and product have of one kind now."""
        ...

    async def manifest(self, weights: Pointer) -> Manifest:
        """What is known of the weights that a pointer names.

        Raises:
            MissingError, CorruptError: it can't be read.
        """
        ...

    async def point(self, weights: str, *, expected: Pointer | None, line: str, product: str, at: datetime) -> Pointer:
        """Let a segmenter serve.

        Raises:
            ConflictError: the pointer is no longer where it was seen.
        """
        ...

    async def announce(self, pointer: Pointer) -> None:
        """Tell everybody where a segmenter's pointer stands; return once the broker has acknowledged it."""
        ...


class LineReader(Protocol):
    """What is known of a line beside its captures."""

    async def normals(self, line: str, product: str) -> list[NormalCapture]:
        """Captures known to be good."""
        ...

    async def settings(self, line: str) -> LineChanged | None:
        """What the line asks for; None where it is gone."""
        ...
