"""Second judgements of captures in a trial. Pure.

Shape suffixes: H = image height, W = image width.
"""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from services.inference.domain.judge import CaptureJudgement
from services.inference.domain.releases import ReleasePointer
from siad.contracts.events import Decision, ImageStored, WeightsKind
from siad.contracts.ids import WeightsId
from siad.contracts.normals_profile import SizeRule
from siad.contracts.place import Place
from siad.contracts.trials import ShadowJudged, TrialChanged
from siad.vision.images import Image

BURST_S = 2.0  # of CPU time that an idle budget saves up


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedCapture:
    """One judged capture before its second judgement."""

    event: ImageStored
    image_HWC: Image
    sizes: SizeRule
    judgement: CaptureJudgement  # that its verdict tells
    trial: TrialChanged

    @property
    def second(self) -> ReleasePointer:
        """The weights that did not decide."""
        trial = self.trial
        return serving_of(trial) if self.judgement.trial else candidate_of(trial)


@dataclass(slots=True)
class CpuBudget:
    """Share of one core that second judgements may take."""

    share: float  # CPU seconds a second
    _balance_s: float = BURST_S
    _at_s: float = 0.0

    def is_left(self, now_s: float) -> bool:
        """Whether another judgement may begin."""
        self._balance_s = min(self._balance_s + self.share * max(now_s - self._at_s, 0.0), BURST_S)
        self._at_s = now_s
        return self.share > 0 and self._balance_s > 0

    def spend(self, spent_s: float) -> None:
        """Count CPU time; the next judgement waits until it is earned."""
        self._balance_s -= spent_s


def candidate_of(trial: TrialChanged) -> ReleasePointer:
    """Name the candidate of a trial as weights that judge."""
    return _pointer(trial, WeightsKind.SEGMENTER, trial.candidate)


def serving_of(trial: TrialChanged) -> ReleasePointer:
    """Name the weights that a candidate is compared with."""
    return _pointer(trial, trial.serving_kind, trial.serving)


def _pointer(trial: TrialChanged, kind: WeightsKind, weights: WeightsId) -> ReleasePointer:
    return ReleasePointer(place=Place(trial.line, trial.product), kind=kind, revision=trial.revision, weights=weights)


def is_of_trial(judgement: CaptureJudgement, trial: TrialChanged) -> bool:
    """Whether one of the two weights of a trial decided a capture."""
    if judgement.decision not in (Decision.PASS, Decision.REJECT):
        return False
    if judgement.trial:
        return judgement.trial == trial.trial and judgement.weights == trial.candidate
    return judgement.weights == trial.serving


def mask_disagreement(one_HW: NDArray[np.uint8] | None, other_HW: NDArray[np.uint8] | None) -> float:
    """Return 1 - intersection / union of two masks.

    None is an empty mask; 0 where both are empty.
    """
    if one_HW is None or other_HW is None:
        return float(any(mask_HW is not None and mask_HW.any() for mask_HW in (one_HW, other_HW)))
    ones, others = one_HW > 0, other_HW > 0
    union = int(np.count_nonzero(ones | others))
    return 1 - int(np.count_nonzero(ones & others)) / union if union else 0.0


def make_pair(
    capture: JudgedCapture, second: CaptureJudgement, *, spread: float, spent_s: float, judged_at: datetime
) -> ShadowJudged:
    """Build the event of a capture that both weights judged.

    Args:
        capture: with the judgement of its verdict.
        second: the other judgement; neither is UNKNOWN.
        spread: of the scores of the serving weights' normals; 0 where not known.
        spent_s: CPU time of the second judgement.
        judged_at: the time of day.
    """
    event, trial, is_canary = capture.event, capture.trial, bool(capture.judgement.trial)
    candidate, serving = (capture.judgement, second) if is_canary else (second, capture.judgement)
    excess = serving.score - serving.threshold.image_threshold
    return ShadowJudged(
        capture_id=event.capture_id,
        line=event.line,
        product=event.product,
        received_at=event.received_at,
        trial=trial.trial,
        phase=trial.phase,
        candidate=trial.candidate,
        serving=trial.serving,
        candidate_decision=candidate.decision,
        candidate_score=candidate.score,
        candidate_threshold=candidate.threshold.image_threshold,
        serving_decision=serving.decision,
        serving_score=serving.score,
        serving_threshold=serving.threshold.image_threshold,
        serving_margin=excess / spread if spread > 0 else 0.0,
        mask_disagreement=mask_disagreement(candidate.mask_HW, serving.mask_HW),
        decided_by_candidate=is_canary,
        spent_s=spent_s,
        judged_at=judged_at,
    )
