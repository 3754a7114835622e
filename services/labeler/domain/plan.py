"""Plan for a line's teacher: state in, actions out. Pure.

Every fit leaves a record with what the line had to fit on, whether it was released or not, and a backfill leaves a mark
when it has finished. So a process that plans after a crash, at whatever moment, finds the work that remains.
"""

from dataclasses import dataclass

from services.labeler.domain.fitting import FitRecord, fit_step
from services.labeler.domain.refits import growth_cause
from siad.contracts.fit_settings import FitSettings
from siad.contracts.learning import LearningBrake
from siad.contracts.place import Place
from siad.contracts.pointer import Pointer
from siad.contracts.refits import FitCounts, RefitCause, RefitRecord


@dataclass(frozen=True, slots=True)
class FitAttempt:
    """One fit that this process requested."""

    normals: int
    settings: FitSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherState:
    """State of one line and product, as the store holds it."""

    place: Place
    normals: int  # captures known to be good
    settings: FitSettings | None  # what the line requests; None: the line was removed
    pointer: Pointer | None  # to the teacher in service; None before the first
    fit: FitRecord | None  # of the teacher in service
    announced: int  # revision of the pointer that this process last announced; 0 for none
    refused: FitAttempt | None  # the last fit of this process that the scorer refused
    is_backfilled: bool
    goods: int = 0  # captures that people confirmed good
    stream: int = 0  # captures of the stream that were scored
    last: RefitRecord | None = None  # the last fit that gave weights; None: none since records are kept
    pause: str = ""  # why the line learns nothing; empty where it does
    moved_brake: LearningBrake | None = None  # what the brake becomes; None: it stays
    unlearn: RefitCause | None = None  # the teacher in service has a capture that is DELETED or QUARANTINED since

    @property
    def counts(self) -> FitCounts:
        """What there is to fit on."""
        return FitCounts(normals=self.normals, goods=self.goods, stream=self.stream)


@dataclass(frozen=True, slots=True)
class AnnounceTeacher:
    """Publish the pointer's position: it moved, or this process has just started."""

    pointer: Pointer


@dataclass(frozen=True, slots=True)
class FitTeacher:
    """Fit a teacher; put it in service if the gate accepts it."""

    cause: RefitCause
    counts: FitCounts
    settings: FitSettings
    expected: Pointer | None
    number: int = 1  # of its record


@dataclass(frozen=True, slots=True)
class BackfillLine:
    """Label the captures from before the first teacher."""

    pointer: Pointer


@dataclass(frozen=True, slots=True)
class MoveBrake:
    """Stop learning, or let it go on."""

    brake: LearningBrake


Action = AnnounceTeacher | FitTeacher | BackfillLine | MoveBrake


def plan(state: TeacherState) -> list[Action]:
    """Decide what to do for one line and product."""
    actions: list[Action] = []
    if state.pointer is not None and state.pointer.revision > state.announced:
        actions.append(AnnounceTeacher(state.pointer))
    if state.settings is None:
        return actions
    if state.moved_brake is not None:
        return [*actions, MoveBrake(state.moved_brake)]  # the next plan obeys it
    if state.pointer is not None and not state.is_backfilled:
        actions.append(BackfillLine(state.pointer))
    elif (cause := _cause(state, state.settings)) is not None:
        number = 1 if state.last is None else state.last.number + 1
        actions.append(FitTeacher(cause, state.counts, state.settings, state.pointer, number))
    return actions


def _cause(state: TeacherState, settings: FitSettings) -> RefitCause | None:
    """Name why a fit is due; None where none is.

    A fit whose record says that it was tried with the same counts is not tried again, released or not. A pause of
    learning stops refits on more captures; a person who changes settings, or deletes or taints a capture, gets the new
    teacher.
    """
    if not fit_step(state.normals) or state.refused == FitAttempt(state.normals, settings):
        return None
    if state.pointer is None or state.fit is None:
        return RefitCause.FIRST
    last = state.last if state.last is not None and state.last.settings == settings else None
    if state.unlearn is not None:
        return state.unlearn  # the fit chooses among the captures that remain, so this holds once
    if not state.fit.normals and not _was_fitted_as_unreadable(state):
        return RefitCause.UNREADABLE
    fitted_by = state.fit.settings or (settings if state.last is None else state.last.settings)
    if last is None and fitted_by != settings:
        return RefitCause.SETTINGS
    before = FitCounts(normals=state.fit.normals) if last is None else last.counts
    return None if state.pause else _growth(before, state.counts)


def _growth(before: FitCounts, now: FitCounts) -> RefitCause | None:
    return growth_cause(before, now, normals_step=(fit_step(before.normals), fit_step(now.normals)))


def _was_fitted_as_unreadable(state: TeacherState) -> bool:
    """Whether the teacher in service is already the cure: once is enough."""
    last = state.last
    is_latest = last is not None and state.pointer is not None and last.weights == state.pointer.weights
    return last is not None and is_latest and last.cause is RefitCause.UNREADABLE
