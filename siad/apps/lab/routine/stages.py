"""Stages of the routine, and what they gave."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from siad.apps.lab.evaluate.folder import LabelledSample
from siad.apps.lab.evaluate.rows import worst_rows
from siad.apps.lab.evaluate.run import EvaluationRun, report_of
from siad.apps.lab.routine.split import RoutineShift
from siad.apps.lab.sheet_rows import SheetRow

FEW_NAME: Final = "few"
WHOLE_NAME: Final = "whole"


class StageName(StrEnum):
    """Steps of the routine, in their order."""

    TEACHER = "teacher"
    REFIT = "refit"
    SEGMENTER = "segmenter"
    ANSWERED_REFIT = "refit-after-answers"
    ANSWERED_SEGMENTER = "segmenter-after-answers"
    THRESHOLD = "threshold-after-answers"


class StageOutcome(StrEnum):
    """What became of a candidate."""

    RELEASED = "released"
    REFUSED = "refused"
    NOT_TRAINED = "not-trained"


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutineStage:
    """One candidate, tested on unseen images."""

    name: StageName
    outcome: StageOutcome
    reason: str
    run: EvaluationRun | None  # None: there is no candidate

    def to_json(self) -> dict[str, Any]:
        """Outcome and figures."""
        figures = None if self.run is None else report_of([self.run])
        return {"outcome": self.outcome.value, "reason": self.reason, "figures": figures}


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutineResult:
    """Outcome of one run."""

    shift: RoutineShift[LabelledSample]
    stages: tuple[RoutineStage, ...]  # the teacher first
    steps: dict[str, Any]  # figures of each step

    def stage(self, name: StageName) -> RoutineStage | None:
        """One stage; None where it was not reached."""
        return next((one for one in self.stages if one.name is name), None)

    @property
    def serving(self) -> RoutineStage:
        """The stage whose candidate serves at the end."""
        return next(one for one in reversed(self.stages) if one.outcome is StageOutcome.RELEASED)

    def to_json(self) -> dict[str, Any]:
        """Figures of every candidate and of each step.

        Keys are those of ``siad evaluate``.
        """
        segmenter = self.stage(StageName.SEGMENTER)
        return {
            "teacher": self.stages[0].to_json()["figures"],
            "segmenter": None if segmenter is None else segmenter.to_json()["figures"],
            "stages": {one.name.value: one.to_json() for one in self.stages},
            "serving": self.serving.name.value,
            "steps": self.steps,
        }

    def worst_rows(self) -> list[SheetRow]:
        """Rows of the contact sheet of what serves."""
        assert self.serving.run is not None, "what serves was tested"
        return worst_rows(self.serving.run.scored, self.shift.test)


def report_of_all(results: Mapping[str, RoutineResult], failures: Mapping[str, str]) -> dict[str, Any]:
    """Reports of all runs by name; of one that failed the reason.

    The figures of the few-shot run are repeated at the top.
    """
    failed = {name: {"teacher": None, "segmenter": None, "failure": reason} for name, reason in failures.items()}
    parts = {name: result.to_json() for name, result in results.items()} | failed
    return {"teacher": parts[FEW_NAME]["teacher"], "segmenter": parts[FEW_NAME]["segmenter"], **parts}
