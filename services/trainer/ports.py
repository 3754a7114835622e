"""Ports of the trainer's handlers and reconciler."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from services.trainer.domain.corrections import CorrectionRow
from services.trainer.domain.explain import PlaceReport
from services.trainer.domain.job_end import JobEnd
from services.trainer.domain.ledger import LedgerFile, LedgerRow
from services.trainer.domain.training_set import TrainingSet
from siad.contracts.deletion import DeletionIndex
from siad.contracts.documents import JobFailure, RunRequest, TrainingSetMembers
from siad.contracts.events import ImageStored, LineChanged, WeightsKind
from siad.contracts.learning import LearningBrake, LearningHold
from siad.contracts.manifest import Manifest
from siad.contracts.place import Place
from siad.contracts.pointer import Pointer
from siad.contracts.quarantine import QuarantineIndex
from siad.contracts.training_runs import CandidateJudgement, RunSpec, RunState
from siad.contracts.trials import CanaryStart, ShadowJudged, TrialEnd, TrialPhase, TrialSpec, TrialState


class DeletionReader(Protocol):
    """Reads which captures are deleted on request."""

    async def read(self, line: str) -> DeletionIndex:
        """Read the deletions of a line."""
        ...


class Ledger(Protocol):
    """Stores and reads the rows of pseudo-masks and corrections."""

    async def write(self, key: str, rows: Sequence[LedgerRow | CorrectionRow]) -> None:
        """Store one file of rows of one kind; a repeat overwrites it.

        Raises:
            TransientError: the store is unavailable, so the rows are not acknowledged.
        """
        ...

    async def read(self, place: Place) -> list[LedgerFile]:
        """Read the newest files of a line; unreadable ones have no rows."""
        ...

    async def merge(self, place: Place, files: Sequence[str]) -> bool:
        """Make one file of several, by their keys.

        No row is ever missing meanwhile.

        Returns:
            Whether any file is gone; False where none could be used, or an erasure comes first.

        Raises:
            TransientError: the store is unavailable; the next plan goes on.
        """
        ...


class TrainingSetStore(Protocol):
    """Stores frozen training sets."""

    async def put(self, place: Place, training_set: TrainingSet) -> None:
        """Store one set under its digest."""
        ...

    async def members(self, place: Place, digest: str) -> TrainingSetMembers:
        """Read the member list of a set.

        Raises:
            MissingError, CorruptError: it cannot be read.
        """
        ...

    async def add_member_lists(self, place: Place) -> None:
        """Write the member lists that sets of earlier versions lack."""
        ...


class QuarantineReader(Protocol):
    """Reads captures, corrections and weights in quarantine."""

    async def read(self, line: str) -> QuarantineIndex:
        """List all that is in quarantine of a line."""
        ...


class RunStore(Protocol):
    """Stores the records of runs; a second write of one raises ``ConflictError``."""

    async def read(self, place: Place) -> list[RunState]:
        """Read every run of a line and product, oldest first.

        Raises:
            CorruptError: a record cannot be read.
        """
        ...

    async def newest_request(self, place: Place) -> int:
        """Return the number of the newest requested run; 0 for none."""
        ...

    async def is_closed(self, run: str) -> bool:
        """Whether a run has a judgement, such as a cancellation."""
        ...

    async def put_spec(self, spec: RunSpec) -> None:
        """Open a run."""
        ...

    async def put_attempt(self, run: str, number: int, started_at: datetime) -> None:
        """Record the ``number``-th start of a run's job, before it starts."""
        ...

    async def put_failure(self, run: str, number: int, failure: JobFailure) -> None:
        """Record why the ``number``-th start of a run's job failed."""
        ...

    async def put_judgement(self, judgement: CandidateJudgement) -> None:
        """Close a run."""
        ...


class JobRunner(Protocol):
    """Runs training jobs."""

    def turn(self) -> AbstractAsyncContextManager[None]:
        """Wait until a job may run."""
        ...

    async def is_running(self, run: str) -> bool:
        """Whether a job of ``run`` goes on without this process.

        Raises:
            TransientError, DeniedError: it can't be found out.
        """
        ...

    async def run(self, run: str) -> JobEnd:
        """Run the job of ``run`` to its end.

        Raises:
            TransientError: it could not be started.
            DeniedError: whatever runs the jobs refuses it, for example over a quota.
        """
        ...

    async def end(self, run: str) -> None:
        """End the job of a cancelled run, after ``run`` was left.

        Raises:
            TransientError: the means to end it are unavailable.
        """
        ...


class ReleaseStore(Protocol):
    """Reads, moves and announces the pointers of weights."""

    async def pointers(self, kind: WeightsKind) -> list[Pointer]:
        """List the pointers to all weights of one kind."""
        ...

    async def pointer(self, kind: WeightsKind, place: Place) -> Pointer | None:
        """Return the pointer to weights of one kind; None before the first.

        Raises:
            CorruptError: the object at its key is not this pointer.
        """
        ...

    async def manifest(self, pointer: Pointer) -> Manifest:
        """Read the manifest of the weights that a pointer names.

        Raises:
            MissingError, CorruptError: it cannot be read.
        """
        ...

    async def point(self, place: Place, weights: str, *, expected: Pointer | None, at: datetime) -> Pointer:
        """Put a stored segmenter in service.

        Raises:
            ConflictError: another process moved the pointer since ``expected`` was read.
            MissingError, CorruptError: the manifest of the weights cannot be read.
        """
        ...

    async def announce(self, pointer: Pointer) -> None:
        """Publish the pointer's position; return once the broker has acknowledged it."""
        ...


class TrialStore(Protocol):
    """Stores and announces trials; a second write of a record raises ``ConflictError``."""

    async def places(self) -> list[Place]:
        """List places whose newest trial is open, or not announced yet."""
        ...

    async def newest(self, place: Place) -> TrialState | None:
        """Read the newest trial of a place; None before the first.

        Raises:
            CorruptError: a record can't be read.
        """
        ...

    def announced(self, place: Place) -> int:
        """Return the revision that this process last announced; 0 for none."""
        ...

    async def announce(self, trial: TrialState) -> None:
        """Publish a trial; return once the broker has acknowledged it."""
        ...

    async def put_spec(self, spec: TrialSpec) -> None:
        """Open a trial."""
        ...

    async def put_canary(self, spec: TrialSpec, start: CanaryStart) -> None:
        """Let the candidate decide a share."""
        ...

    async def put_end(self, spec: TrialSpec, end: TrialEnd) -> None:
        """End a trial."""
        ...


class PairStore(Protocol):
    """Stores the captures that both weights of a trial judged."""

    async def add(self, place: Place, number: int, phase: TrialPhase, events: Sequence[ShadowJudged]) -> int:
        """Add pairs to a trial; return how many captures are new.

        Raises:
            ConflictError: another process added some at the same moment; the repeat reads them.
        """
        ...


class RunReports(Protocol):
    """Reports what each line and product trains on, or waits for."""

    def reports(self, line: str) -> list[PlaceReport]:
        """Report the products of a line, as of the last plan."""
        ...


class BrakeReader(Protocol):
    """Reads the brakes of learning."""

    async def read(self, place: Place) -> LearningBrake | None:
        """Read the brake of a place; None: it was never on.

        Raises:
            CorruptError: it can't be read.
        """
        ...


class HoldReader(Protocol):
    """Reads holds of learning by people."""

    async def read(self, place: Place) -> LearningHold | None:
        """Read the hold of a place; None: there was none.

        Raises:
            CorruptError: it can't be read.
        """
        ...


class RunRequests(Protocol):
    """Takes requests for training runs."""

    async def request(self, place: Place, *, at: datetime, command_id: str = "") -> RunRequest:
        """Request a run that does not wait for new captures.

        A repeat of a command finds its request.

        Raises:
            ConflictError: another operator requested one at the same moment.
            LookupError: no run would start; says why, and nothing was requested.
        """
        ...


class LineReader(Protocol):
    """Reads a line's normals and settings."""

    async def normals(self, place: Place) -> list[ImageStored]:
        """Read the captures known to be good; log and omit unreadable ones."""
        ...

    async def settings(self, line: str) -> LineChanged | None:
        """Read a line's settings; None for a removed line.

        Raises:
            CorruptError: the line's record cannot be read.
        """
        ...
