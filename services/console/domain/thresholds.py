"""When a threshold is computed again, and from which scores. Pure."""

import math
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from services.console.domain.captures import CaptureEntry
from siad.contracts.corrections import CaptureCorrected, CorrectionVerdict, ThresholdSet
from siad.contracts.ids import WeightsId
from siad.contracts.labelling import is_drawn
from siad.contracts.manifest import Manifest
from siad.contracts.methods import LEFT_ONE_OUT
from siad.contracts.place import Place
from siad.vision.sharpening import ScoredAnswer, SharpenedThreshold, ThresholdEvidence

STREAM_MAX: Final = 500  # newest captures of the stream; older ones show how the line was, not how it is
STREAM_EVERY: Final = 50  # captures between two thresholds that only the stream moves
CHANGE_MIN: Final = 0.01  # of the threshold; less is not published


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsScores:
    """Scores that some weights gave, and people's answers to their captures."""

    stream: tuple[float, ...] = ()  # of the newest captures, by time of receipt
    seen: int = 0  # captures that the weights scored, as far as the console knows
    answers: tuple[ScoredAnswer, ...] = ()


def scores_by_weights(
    entries: Collection[CaptureEntry], latest: Mapping[str, CaptureCorrected], *, labelled_share: float = 1.0
) -> dict[WeightsId, WeightsScores]:
    """Gather scores and answers of the weights in service at one place.

    In service are the weights of the newest verdict and of the newest pseudo-mask. An answer counts for weights that
    scored its capture: now, or when it was shown. The stream of a teacher has, of the captures that other weights
    judged, only those that are drawn: doubtful ones are labelled too, and would raise its threshold.

    Args:
        entries: captures of one line and product.
        latest: the newest correction of each capture of the line.
        labelled_share: of the captures that are labelled while a segmenter serves.
    """
    ordered = sorted(entries, key=lambda entry: (entry.received_at, entry.capture_id))
    found: dict[WeightsId, dict[str, float]] = defaultdict(dict)
    streams: dict[WeightsId, list[float]] = defaultdict(list)
    in_service: dict[str, WeightsId] = {}
    for entry in ordered:
        for kind, finding in (("verdict", entry.verdict), ("pseudo-mask", entry.pseudo_mask)):
            if finding is not None:
                weights = WeightsId(finding.weights)
                in_service[kind] = weights
                found[weights][entry.capture_id] = finding.score
                if kind == "verdict" or _is_of_stream(entry, labelled_share):
                    streams[weights].append(finding.score)
    places = {entry.place for entry in entries}
    return {
        weights: WeightsScores(
            stream=tuple(streams[weights][-STREAM_MAX:]),
            seen=len(streams[weights]),
            answers=_answers(weights, found[weights], [one for one in latest.values() if _place(one) in places]),
        )
        for weights in in_service.values()
    }


def _is_of_stream(entry: CaptureEntry, labelled_share: float) -> bool:
    """Whether a pseudo-mask's score is of a random capture.

    The verdict of the same weights has its score already.
    """
    if entry.verdict is None or entry.pseudo_mask is None:
        return True
    return entry.verdict.weights != entry.pseudo_mask.weights and is_drawn(entry.capture_id, labelled_share)


def _place(correction: CaptureCorrected) -> Place:
    return Place(correction.line, correction.product)


def _answers(
    weights: WeightsId, scores: Mapping[str, float], latest: Collection[CaptureCorrected]
) -> tuple[ScoredAnswer, ...]:
    answers = []
    for one in sorted(latest, key=lambda one: one.capture_id):
        score = scores.get(one.capture_id, one.score if one.weights == weights else None)
        if score is not None and one.verdict in (CorrectionVerdict.GOOD, CorrectionVerdict.DEFECT):
            answers.append(ScoredAnswer(score=score, verdict=one.verdict, selection=one.selection))
    return tuple(answers)


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdState:
    """One set of weights in service, and the threshold they have."""

    place: Place
    weights: WeightsId
    scores: WeightsScores
    miss_cost: float  # of the line, in false rejects; 0: the budget decides
    stored: ThresholdSet | None  # None: that of the manifest
    computed: "ThresholdBasis | None"  # what this process last computed from
    on_topic: int = 0  # revision that labeler and inference use; 0: none


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdBasis:
    """What a threshold was computed from; an equal one gives no other."""

    answers: tuple[ScoredAnswer, ...]
    stream_step: int  # of ``STREAM_EVERY`` captures
    miss_cost: float


@dataclass(frozen=True, slots=True)
class AnnounceThreshold:
    """Publish a stored threshold."""

    threshold: ThresholdSet


@dataclass(frozen=True, slots=True)
class ComputeThreshold:
    """Compute a threshold again, and set it if it differs."""

    state: ThresholdState
    basis: ThresholdBasis


@dataclass(frozen=True, slots=True)
class WithdrawThreshold:
    """Publish that weights have the threshold of their manifest again."""

    place: Place
    weights: WeightsId
    revision: int  # that is withdrawn


ThresholdAction = AnnounceThreshold | ComputeThreshold | WithdrawThreshold


def plan(states: Collection[ThresholdState], announced: Mapping[WeightsId, int]) -> list[ThresholdAction]:
    """Decide what to publish and what to compute for one place.

    Args:
        states: of the weights in service.
        announced: revisions that this process published, by weights.
    """
    actions: list[ThresholdAction] = []
    for state in states:
        if state.stored is not None and state.stored.revision > announced.get(state.weights, 0):
            actions.append(AnnounceThreshold(state.stored))
        if state.stored is None and state.on_topic:  # its line was erased
            actions.append(WithdrawThreshold(state.place, state.weights, state.on_topic))
        basis = ThresholdBasis(
            answers=state.scores.answers, stream_step=state.scores.seen // STREAM_EVERY, miss_cost=state.miss_cost
        )
        if basis != state.computed:
            actions.append(ComputeThreshold(state, basis))
    return actions


def evidence_of(state: ThresholdState, manifest: Manifest, *, budget: float) -> ThresholdEvidence:
    """Build the evidence for a threshold of the weights of a manifest."""
    return ThresholdEvidence(
        held_out=manifest.held_out_scores,
        is_left_one_out=manifest.method in LEFT_ONE_OUT,
        budget=budget,
        stream=state.scores.stream,
        answers=state.scores.answers,
        miss_cost=state.miss_cost,
        nearest=manifest.nearest,
    )


def next_threshold(state: ThresholdState, found: SharpenedThreshold, at: datetime) -> ThresholdSet | None:
    """Build the next revision; None where nothing changes.

    Normals alone change nothing: that is the threshold of the manifest. A stored one goes back to it once the answers
    that moved it are withdrawn.
    """
    stored = state.stored
    if stored is None and not (found.stream_captures or found.answers or state.miss_cost):
        return None
    if stored is not None and found.answers == stored.answers and not _has_moved(stored, found):
        return None
    rate = found.rate
    return ThresholdSet(
        line=state.place.line,
        product=state.place.product,
        weights=state.weights,
        revision=max(0 if stored is None else stored.revision, state.on_topic) + 1,
        image_threshold=found.threshold,
        budget=rate.budget,
        estimated=rate.estimated,
        low=min(rate.low, rate.estimated),
        high=max(rate.high, rate.estimated),
        normals=found.normals,
        stream_captures=found.stream_captures,
        answers=found.answers,
        reason=found.reason,
        set_at=at,
        advice=found.advice,
    )


def _has_moved(stored: ThresholdSet, found: SharpenedThreshold) -> bool:
    size = max(abs(stored.image_threshold), abs(found.threshold), 1e-300)
    return math.fabs(found.threshold - stored.image_threshold) >= CHANGE_MIN * size
