"""Figures of one demo. Pure: events in, report out."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from siad.apps.lab.demo.cells import DEFECTIVE, NORMAL
from siad.apps.lab.demo.releases import Release
from siad.contracts.events import Decision, Origin, PseudoMaskCreated, VerdictGiven, WeightsKind
from siad.contracts.ids import WeightsId


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVerdict:
    """Score and decision of one model for one capture."""

    score: float
    is_defect: bool
    weights: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelQuality:
    """Quality of one model, on captures that neither model was fitted on."""

    image_auroc: float | None  # certain defects against normals; None if one of the two is missing
    false_reject_rate: float | None  # fraction of the normals that it calls defective
    detection_rate: float | None  # fraction of the certain defects that it finds
    captures: int  # that the figures are based on
    weights: str


@dataclass(slots=True)
class DemoObservations:
    """What was sent, and what the loop published."""

    sent: dict[str, float] = field(default_factory=dict)  # capture id -> probability of a defect, by the experts
    verdicts: list[VerdictGiven] = field(default_factory=list)
    pseudo_masks: list[PseudoMaskCreated] = field(default_factory=list)
    dead_letters: int = 0
    releases: list[Release] = field(default_factory=list)
    thresholds: dict[WeightsId, float] = field(default_factory=dict)  # set last, by weights
    answers: int = 0  # of the simulated reviewer
    answered_at: datetime | None = None  # when it began

    def judged(self) -> set[str]:
        """Captures with a verdict."""
        return {verdict.capture_id for verdict in self.verdicts}

    def masked(self) -> set[str]:
        """Captures with a pseudo-mask."""
        return {mask.capture_id for mask in self.pseudo_masks}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurements:
    """What was measured after the stream."""

    bus: str  # which broker transported the events
    fitted_on: frozenset[str]  # captures that either model was fitted on
    longest_swap_pause_ms: float  # as inference reports it
    seconds: Mapping[str, float]  # by phase
    models: Sequence[Mapping[str, Any]] = ()  # figures of each model on cells that were never sent


def count_duplicates(ids: Iterable[tuple[str, ...]]) -> int:
    """Number of events that repeat an earlier one."""
    return sum(count - 1 for count in Counter(ids).values())


def count_swaps(verdicts: Sequence[VerdictGiven]) -> int:
    """Number of weights that took over while the stream ran.

    Captures are judged concurrently, so around a swap old and new weights may alternate in the order of judging; that
    is one swap.
    """
    return max(len({verdict.weights for verdict in verdicts if verdict.weights}) - 1, 0)


def teacher_verdicts(masks: Iterable[PseudoMaskCreated]) -> dict[str, ModelVerdict]:
    """First decision of the teacher for each capture."""
    found: dict[str, ModelVerdict] = {}
    for mask in masks:
        verdict = ModelVerdict(score=mask.score, is_defect=mask.score >= mask.threshold, weights=mask.weights)
        found.setdefault(mask.capture_id, verdict)
    return found


def segmenter_verdicts(verdicts: Iterable[VerdictGiven]) -> dict[str, ModelVerdict]:
    """First decision of the segmenter for each capture that it judged live."""
    found: dict[str, ModelVerdict] = {}
    for verdict in verdicts:
        if verdict.weights_kind is WeightsKind.SEGMENTER and verdict.decision is not Decision.UNKNOWN:
            is_defect = verdict.decision is Decision.REJECT
            found.setdefault(
                verdict.capture_id, ModelVerdict(score=verdict.score, is_defect=is_defect, weights=verdict.weights)
            )
    return found


def quality_of(verdicts: Mapping[str, ModelVerdict], truth: Mapping[str, float]) -> ModelQuality:
    """Compare one model's verdicts with the experts' certain labels."""
    good = [verdicts[c] for c, probability in truth.items() if probability == NORMAL and c in verdicts]
    bad = [verdicts[c] for c, probability in truth.items() if probability == DEFECTIVE and c in verdicts]
    weights = Counter(verdict.weights for verdict in (*good, *bad)).most_common(1)
    return ModelQuality(
        image_auroc=_auroc(good, bad) if good and bad else None,
        false_reject_rate=_defect_ratio(good),
        detection_rate=_defect_ratio(bad),
        captures=len(good) + len(bad),
        weights=weights[0][0] if weights else "",
    )


def make_report(observations: DemoObservations, measured: Measurements) -> dict[str, Any]:
    """Compute all figures of one demo."""
    stream = [v for v in observations.verdicts if v.origin is Origin.STREAM]
    ids = [(v.capture_id,) for v in stream] + [(m.capture_id, m.weights) for m in observations.pseudo_masks]
    sent = observations.sent
    unseen = {capture: label for capture, label in sent.items() if capture not in measured.fitted_on}
    teacher = teacher_verdicts(observations.pseudo_masks)
    segmenter = segmenter_verdicts(observations.verdicts)
    both = {capture: label for capture, label in unseen.items() if not segmenter or capture in segmenter}
    return {
        "bus": measured.bus,
        "images_sent": len(sent),
        "verdicts": len({v.capture_id for v in stream}),
        "pseudo_masks": len(observations.masked()),
        "lost": len(sent.keys() - {v.capture_id for v in stream}),
        "lost_pseudo_masks": len(sent.keys() - observations.masked()),
        "duplicated": count_duplicates(ids),
        "dead_letters": observations.dead_letters,
        "decisions": dict(Counter(v.decision.value for v in stream)),
        "judged_by": dict(Counter(v.weights_kind.value for v in stream)),
        "swaps": count_swaps(stream),
        "longest_swap_pause_ms": measured.longest_swap_pause_ms,
        "seconds_to_verdict": _quantiles([(v.judged_at - v.received_at).total_seconds() for v in stream]),
        "seconds": dict(measured.seconds),
        "teacher": asdict(quality_of(teacher, both)),
        "segmenter": asdict(quality_of(segmenter, both)),
        "answers": observations.answers,
        "models": [dict(row) for row in measured.models],
    }


def problems_of(report: Mapping[str, Any]) -> list[str]:
    """What went wrong in a demo, one sentence each.

    Empty if it passed.
    """
    counts = {
        "lost": "captures have no verdict",
        "lost_pseudo_masks": "captures have no pseudo-mask",
        "dead_letters": "records were dead-lettered: siad dead-letters can't read them once the demo has stopped",
    }
    problems = [f"{report[name]} {text}" for name, text in counts.items() if report[name]]
    if not report["swaps"] and len(report["models"]) < 2:
        problems.append("nothing took over from the first teacher; more --cells give it more time")
    return problems


def _auroc(good: Sequence[ModelVerdict], bad: Sequence[ModelVerdict]) -> float:
    from siad.vision.scores import image_auroc  # scikit-learn takes a second to import; `siad --help` does without it

    is_defect = [False] * len(good) + [True] * len(bad)
    return image_auroc([verdict.score for verdict in (*good, *bad)], is_defect)


def _defect_ratio(verdicts: Sequence[ModelVerdict]) -> float | None:
    return sum(verdict.is_defect for verdict in verdicts) / len(verdicts) if verdicts else None


def _quantiles(values: Sequence[float]) -> dict[str, float]:
    if not values:
        return {}
    ordered = sorted(values)
    return {name: round(ordered[int(share * (len(ordered) - 1))], 3) for name, share in QUANTILES.items()}


QUANTILES = {"median": 0.5, "p95": 0.95, "longest": 1.0}
