"""What the demo saw, as figures. Pure: events in, report out."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from siad.apps.lab.demo.cells import DEFECTIVE, NORMAL
from siad.contracts.events import Decision, Origin, PseudoMaskCreated, VerdictGiven, WeightsKind


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVerdict:
    """One weights' opinion of one capture."""

    score: float
    is_defect: bool
    weights: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelQuality:
    """How good one model was, on captures that neither model was fitted on."""

    image_auroc: float | None  # full defects against normals; None where one of the two is missing
    false_reject_rate: float | None  # share of the normals that it calls defective
    detection_rate: float | None  # share of the full defects that it finds
    captures: int  # that the figures rest on
    weights: str


@dataclass(slots=True)
class DemoObservations:
    """What came out of the loop, gathered while it ran."""

    sent: dict[str, float] = field(default_factory=dict)  # capture id -> the experts' probability
    verdicts: list[VerdictGiven] = field(default_factory=list)
    pseudo_masks: list[PseudoMaskCreated] = field(default_factory=list)
    dead_letters: int = 0

    def judged(self) -> set[str]:
        """Captures with a verdict."""
        return {verdict.capture_id for verdict in self.verdicts}

    def labelled(self) -> set[str]:
        """Captures with a pseudo-mask."""
        return {mask.capture_id for mask in self.pseudo_masks}


def count_duplicates(ids: Iterable[tuple[str, ...]]) -> int:
    """How many events repeat one that was there before."""
    return sum(count - 1 for count in Counter(ids).values())


def count_swaps(verdicts: Sequence[VerdictGiven]) -> int:
    """How many weights took over while the stream ran: all that judged, but the first.

    Captures are judged side by side, so around a swap old and new weights may alternate in the order of judging; that
    is one swap, not several.
    """
    return max(len({verdict.weights for verdict in verdicts if verdict.weights}) - 1, 0)


def teacher_opinions(masks: Iterable[PseudoMaskCreated]) -> dict[str, ModelVerdict]:
    """What the teacher said of each capture; the first word counts."""
    said: dict[str, ModelVerdict] = {}
    for mask in masks:
        opinion = ModelVerdict(score=mask.score, is_defect=mask.score >= mask.threshold, weights=mask.weights)
        said.setdefault(mask.capture_id, opinion)
    return said


def segmenter_opinions(verdicts: Iterable[VerdictGiven]) -> dict[str, ModelVerdict]:
    """What the segmenter said of each capture that it judged; the first word counts."""
    said: dict[str, ModelVerdict] = {}
    for verdict in verdicts:
        if verdict.weights_kind is WeightsKind.SEGMENTER and verdict.decision is not Decision.UNKNOWN:
            is_defect = verdict.decision is Decision.REJECT
            said.setdefault(
                verdict.capture_id, ModelVerdict(score=verdict.score, is_defect=is_defect, weights=verdict.weights)
            )
    return said


def quality_of(opinions: Mapping[str, ModelVerdict], truth: Mapping[str, float]) -> ModelQuality:
    """Hold one model's opinions against the experts' sure labels."""
    good = [opinions[c] for c, probability in truth.items() if probability == NORMAL and c in opinions]
    bad = [opinions[c] for c, probability in truth.items() if probability == DEFECTIVE and c in opinions]
    weights = Counter(judged.weights for judged in (*good, *bad)).most_common(1)
    auroc = _auroc(good, bad) if good and bad else None
    return ModelQuality(
        image_auroc=auroc,
        false_reject_rate=_share(good),
        detection_rate=_share(bad),
        captures=len(good) + len(bad),
        weights=weights[0][0] if weights else "",
    )


def make_report(
    seen: DemoObservations,
    *,
    bus: str,
    asked: Mapping[str, ModelVerdict],
    fitted_on: set[str],
    longest_swap_pause_ms: float,
    seconds: Mapping[str, float],
) -> dict[str, Any]:
    """All figures of one demo.

    Args:
        seen: what came out of the loop.
        bus: which broker carried it.
        asked: what the segmenter says, asked at once, of captures that the teacher judged live.
        fitted_on: captures that either model has learned from.
        longest_swap_pause_ms: as inference measured it.
        seconds: how long each phase took.
    """
    stream = [v for v in seen.verdicts if v.origin is Origin.STREAM]
    ids = [(v.capture_id,) for v in stream] + [(m.capture_id, m.weights) for m in seen.pseudo_masks]
    unseen = {capture: label for capture, label in seen.sent.items() if capture not in fitted_on}
    teacher = teacher_opinions(seen.pseudo_masks)
    segmenter = {**asked, **segmenter_opinions(seen.verdicts)}
    both = {capture: label for capture, label in unseen.items() if not segmenter or capture in segmenter}
    return {
        "bus": bus,
        "images_sent": len(seen.sent),
        "verdicts": len({v.capture_id for v in stream}),
        "pseudo_masks": len(seen.labelled()),
        "lost": len(seen.sent.keys() - {v.capture_id for v in stream}),
        "lost_pseudo_masks": len(seen.sent.keys() - seen.labelled()),
        "duplicated": count_duplicates(ids),
        "dead_letters": seen.dead_letters,
        "decisions": dict(Counter(v.decision.value for v in stream)),
        "judged_by": dict(Counter(v.weights_kind.value for v in stream)),
        "swaps": count_swaps(stream),
        "longest_swap_pause_ms": longest_swap_pause_ms,
        "seconds_to_verdict": _quantiles([(v.judged_at - v.received_at).total_seconds() for v in stream]),
        "seconds": dict(seconds),
        "teacher": asdict(quality_of(teacher, both)),
        "segmenter": asdict(quality_of(segmenter, both)),
    }


def _auroc(good: Sequence[ModelVerdict], bad: Sequence[ModelVerdict]) -> float:
    from siad.vision.scores import image_auroc  # scikit-learn takes a second, which `siad --help` need not wait for

    is_defect = [False] * len(good) + [True] * len(bad)
    return image_auroc([judged.score for judged in (*good, *bad)], is_defect)


def _share(judged: Sequence[ModelVerdict]) -> float | None:
    return sum(one.is_defect for one in judged) / len(judged) if judged else None


def _quantiles(values: Sequence[float]) -> dict[str, float]:
    if not values:
        return {}
    ordered = sorted(values)
    return {name: round(ordered[int(share * (len(ordered) - 1))], 3) for name, share in QUANTILES.items()}


QUANTILES = {"median": 0.5, "p95": 0.95, "longest": 1.0}
