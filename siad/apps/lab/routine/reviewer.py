"""Simulated reviewer: answers captures with the folder's own labels.

Which captures are shown is decided as the console does (``services.console.domain.review``).
"""

from collections.abc import Sequence
from typing import Final

from services.console.domain.captures import CaptureEntry, Finding
from services.console.domain.review import choose
from services.console.domain.serving import weights_in_service
from siad.apps.lab.evaluate.folder import read_mask
from siad.apps.lab.evaluate.mask_file import MaskFileError
from siad.apps.lab.routine.captures import LINE, START, Answer, PseudoLabel, capture_id
from siad.contracts.corrections import CorrectionVerdict, Selection
from siad.contracts.methods import LEFT_ONE_OUT
from siad.models.predictor import Predictor
from siad.vision.sharpening import ScoredAnswer, SharpenedThreshold, ThresholdEvidence, sharpen

AUTHOR: Final = "simulated reviewer"


def answer_captures(shown: Sequence[PseudoLabel], *, count: int, salt: str) -> list[Answer]:
    """Answer the captures that the console would show.

    Args:
        shown: captures of the stream, as what serves judged them.
        count: answers, at most.
        salt: of the capture ids.
    """
    by_id = {capture_id(salt, one.sample): one for one in shown}
    entries = [
        CaptureEntry(
            line=LINE,
            product=LINE,
            capture_id=name,
            image_uri="",
            captured_at=START,
            received_at=START,
            verdict=Finding(weights=one.weights, score=one.score, threshold=one.threshold, mask_uri=""),
        )
        for name, one in by_id.items()
    ]
    chosen = choose(entries, {}, count, weights_in_service(entries))
    return [_answer(by_id[item.entry.capture_id], item.selection) for item in chosen]


def threshold_after(
    serving: Predictor, shown: Sequence[PseudoLabel], answers: Sequence[Answer], *, budget: float
) -> SharpenedThreshold:
    """Choose the threshold of what serves from normals, stream and answers.

    Args:
        serving: what serves after the answers.
        shown: captures of the stream, as it judges them.
        answers: of the reviewer; their scores are taken from ``shown``.
        budget: share of good captures that may be rejected.
    """
    scores = {one.sample.path: one.score for one in shown}
    evidence = ThresholdEvidence(
        held_out=serving.manifest.held_out_scores,
        is_left_one_out=serving.manifest.method in LEFT_ONE_OUT,
        budget=budget,
        stream=list(scores.values()),
        answers=[
            ScoredAnswer(score=scores[one.shown.sample.path], verdict=one.verdict, selection=one.selection)
            for one in answers
            if one.shown.sample.path in scores
        ],
    )
    return sharpen(evidence, in_use=serving.image_threshold)


def _answer(shown: PseudoLabel, selection: Selection) -> Answer:
    if not shown.sample.is_defect:
        return Answer(shown=shown, verdict=CorrectionVerdict.GOOD, selection=selection, mask_HW=None)
    try:
        mask_HW = read_mask(shown.sample, (shown.mask_HW.shape[0], shown.mask_HW.shape[1]))
    except MaskFileError:  # named when the folder was read
        mask_HW = None
    return Answer(shown=shown, verdict=CorrectionVerdict.DEFECT, selection=selection, mask_HW=mask_HW)
