"""State of a line and product, as the store holds it. Pure."""

from dataclasses import dataclass

from services.trainer.domain.ledger import LedgerFile, fresh_captures, fresh_corrections
from services.trainer.domain.schedule import NewCaptures
from services.trainer.domain.training_set import NormalCapture
from siad.contracts.events import LineChanged
from siad.contracts.manifest import Manifest
from siad.contracts.place import Place
from siad.contracts.pointer import Pointer
from siad.contracts.quarantine import NOTHING, QuarantineIndex
from siad.contracts.training_runs import RunOutcome, RunState
from siad.contracts.trials import TrialState


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherInService:
    """Teacher of a line and product, with its manifest if readable."""

    pointer: Pointer
    manifest: Manifest | None
    unreadable: str = ""  # why there is no manifest

    @property
    def lineage(self) -> tuple[str, ...]:
        """Weights of the line's teachers, newest first."""
        return (self.pointer.weights, *self.pointer.history)


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmenterState:
    """State of one line and product, as the store holds it."""

    place: Place
    files: tuple[LedgerFile, ...]
    normals: tuple[NormalCapture, ...]
    runs: tuple[RunState, ...]  # oldest first
    teacher: TeacherInService
    segmenter: Pointer | None
    settings: LineChanged | None  # None: the line was removed, and no further run starts for it
    announced: int  # revision of the segmenter's pointer that this process last announced; 0 for none
    quarantine: QuarantineIndex = NOTHING
    tainted: str = ""  # what of the last run's training set is in quarantine; empty where nothing is
    requested: int = 0  # number of the newest request of an operator for a run; 0 for none
    is_job_running: bool = False  # the last run's, without this process
    pause: str = ""  # why the line learns nothing, by its brake or its setting; empty where it does
    trial: TrialState | None = None  # the newest
    announced_trial: int = 0  # revision of the trial that this process last announced; 0 for none

    @property
    def last_run(self) -> RunState | None:
        """The latest run; None before the first."""
        return self.runs[-1] if self.runs else None

    @property
    def last_trained_run(self) -> RunState | None:
        """The latest run that did not fail; failed runs use no captures."""
        used = (run for run in reversed(self.runs) if run.outcome is not RunOutcome.FAILED)
        return next(used, None)

    @property
    def is_requested(self) -> bool:
        """Whether an operator has requested a run that was not frozen yet."""
        return self.requested > max((run.spec.request for run in self.runs), default=0)

    @property
    def new_captures(self) -> NewCaptures:
        """What came since the last trained run's set was frozen."""
        last = self.last_trained_run
        since = last.spec.ledger_until_at if last else None
        return NewCaptures(
            labelled=fresh_captures(self.files, since=since), corrected=fresh_corrections(self.files, since=since)
        )
