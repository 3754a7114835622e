"""Plan for a line's teacher: state in, actions out. Pure.

A fit names its weights by its normals, and a backfill leaves a mark when it has finished. So a process that plans after
a crash, at whatever moment, finds the work that remains.
"""

from dataclasses import dataclass

from services.labeler.domain.fitting import FitRecord, fit_step
from siad.contracts.fit_settings import FitSettings
from siad.contracts.place import Place
from siad.contracts.pointer import Pointer


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
    fitted: FitAttempt | None  # the last fit of this process that gave weights
    is_backfilled: bool
    has_deleted_normal: bool = False  # the teacher in service was fitted on a capture that is deleted since


@dataclass(frozen=True, slots=True)
class AnnounceTeacher:
    """Publish the pointer's position: it moved, or this process has just started."""

    pointer: Pointer


@dataclass(frozen=True, slots=True)
class FitTeacher:
    """Fit a teacher and put it in service."""

    normals: int
    settings: FitSettings
    expected: Pointer | None


@dataclass(frozen=True, slots=True)
class BackfillLine:
    """Label the captures from before the first teacher."""

    pointer: Pointer


Action = AnnounceTeacher | FitTeacher | BackfillLine


def plan(state: TeacherState) -> list[Action]:
    """Decide what to do for one line and product."""
    actions: list[Action] = []
    if state.pointer is not None and state.pointer.revision > state.announced:
        actions.append(AnnounceTeacher(state.pointer))
    if state.settings is None:
        return actions
    if state.pointer is not None and not state.is_backfilled:
        actions.append(BackfillLine(state.pointer))
    elif _is_fit_due(state, FitAttempt(state.normals, state.settings)):
        actions.append(FitTeacher(state.normals, state.settings, state.pointer))
    return actions


def _is_fit_due(state: TeacherState, now: FitAttempt) -> bool:
    """Whether a fit not yet tried would give another teacher.

    A normal that cannot be read leaves a teacher one step short; fitting it again on the same step changes nothing.
    """
    step = fit_step(now.normals)
    if not step or state.refused == now:
        return False
    if state.has_deleted_normal:
        return True  # the fit chooses among the normals that remain, so this holds once
    fitted = state.fitted if state.fitted is not None and state.fitted.settings == now.settings else None
    if fitted is not None and fit_step(fitted.normals) >= step:
        return False
    is_short = state.fit is None or state.fit.normals < step
    has_changed = state.fit is not None and state.fit.settings not in (None, now.settings)
    return is_short or has_changed
