"""What is written down of a training run, so that whoever comes next knows where it stands. Pure.

A run is numbered within its line and product; spec, report and judgement are write-once, so two holders of a lease
that both believe in themselves do no harm.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from siad.contracts.json_codec import JsonRecord


class RunOutcome(StrEnum):
    """How a run ended."""

    ACCEPTED = "accepted"  # the candidate may serve
    REFUSED = "refused"  # it may not; the reason says why
    FAILED = "failed"  # the job gave no candidate


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec(JsonRecord):
    """What a run is to do: everything its job needs to know."""

    run: str
    line: str
    product: str
    training_set: str  # digest
    teacher: str  # weights whose pseudo-masks teach
    serving: str  # segmenter that serves now, which the candidate must not fall behind; empty for none
    ledger_until_at: datetime  # when the newest ledger file it saw was written, by the store's clock
    false_reject_budget: float
    input_px: int  # side of the square with the area that images are brought to
    epochs: int
    train_s: float  # after so many seconds of training it ends with what it has
    frozen_at: datetime
    region: tuple[float, ...] = ()  # what of the view counts, as ``siad.contracts.region`` has it; empty for all of it


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmenterFigures(JsonRecord):
    """What one segmenter did on captures that it never saw."""

    normals: int  # held to be good (normals and clearly good ones), and held out to check by
    defects: int  # clearly marked by the teacher, and held out
    false_rejects: int  # of ``normals``
    detected: int  # of ``defects``
    image_auroc: float  # 0..1, defects against normals
    pixel_ap: float  # 0..1, average precision against the pseudo-masks

    @property
    def false_reject_rate(self) -> float:
        """Share of the good captures that it would reject."""
        return self.false_rejects / self.normals

    @property
    def detection_rate(self) -> float:
        """Share of the defective captures that it finds."""
        return self.detected / self.defects


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport(JsonRecord):
    """What a job brought: a candidate and its figures, beside those of what serves now on the same captures."""

    run: str
    weights: str
    candidate: SegmenterFigures
    serving: SegmenterFigures | None
    epochs: int
    resumed_from_epoch: int  # 0: trained in one piece
    seconds: float  # of training, all attempts
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateJudgement(JsonRecord):
    """What was decided about a run, and why."""

    run: str
    outcome: RunOutcome
    reason: str
    weights: str  # the candidate; empty where there is none
    judged_at: datetime


def run_name(line: str, product: str, number: int) -> str:
    """Name a run; a dot can't stand in a slug, so names don't collide."""
    return f"{line}.{product}.{number:06d}"
