"""What the trainer's handlers and reconciler need of the world."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from services.trainer.domain.ledger import LedgerRow
from services.trainer.domain.records import Judgement, Report, Spec
from services.trainer.domain.schedule import RunState
from services.trainer.domain.training_set import TrainingSet


class Ledger(Protocol):
    """Where pseudo-masks are written down."""

    async def write(self, key: str, rows: Sequence[LedgerRow]) -> None:
        """Store one file of rows; return once the store has acknowledged it. The same key overwrites itself.

        Raises:
            TransientError: the store is away.
        """
        ...

    async def read(self, line: str, product: str) -> list[LedgerRow]:
        """Every row of a line and product, in the order of the files' keys."""
        ...


class TrainingSets(Protocol):
    """Where frozen training sets lie."""

    async def put(self, line: str, product: str, chosen: TrainingSet) -> None:
        """Store one set under its digest."""
        ...


class Runs(Protocol):
    """Where runs are written down. Records are write-once: a second is refused by ConflictError."""

    async def read(self, line: str, product: str) -> list[RunState]:
        """Every run of a line and product, oldest first."""
        ...

    async def put_spec(self, spec: Spec) -> None:
        """Write what a run is to do."""
        ...

    async def put_attempt(self, run: str, number: int, started_at: datetime) -> None:
        """Write that a run's job is about to start for the ``number``-th time."""
        ...

    async def put_judgement(self, judgement: Judgement) -> None:
        """Write what was decided."""
        ...


class Jobs(Protocol):
    """The jobs that this process has started."""

    def running(self) -> str | None:
        """The run whose job works now; None where there is room for one."""
        ...

    async def start(self, run: str) -> None:
        """Start the job of ``run``; return once it is under way."""
        ...


class JobReports(Protocol):
    """Where a job leaves its report."""

    def put_report(self, report: Report) -> None:
        """Write it; the first one written wins."""
        ...
