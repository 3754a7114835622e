"""What answers took, corrections until the next training, and when looking on would not pay."""

import asyncio
import json
from dataclasses import replace
from datetime import datetime

import pytest

from services.console.adapters.trainings import FAILED, StoredTrainings
from services.console.domain.captures import CaptureEntry, CaptureWindow
from services.console.domain.labour import labour_of
from siad.contracts import keys
from siad.contracts.corrections import CaptureCorrected, CorrectionVerdict, Selection
from siad.contracts.ids import CaptureId
from siad.contracts.place import Place
from siad.contracts.training_runs import RunOutcome
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.memory import MemoryBlobs
from tests.unit.console.world import LINE_NAME, OTHER, PRODUCT, WEIGHTS, at_noon, name_of, pseudo_mask, verdict

PLACE = Place(LINE_NAME, PRODUCT)


def line_of(*scores: float) -> list[CaptureEntry]:
    """Captures of the scores; the threshold is 2."""
    window = CaptureWindow(100)
    for number, score in enumerate(scores):
        window.add_verdict(verdict(number, score))
    return list(window.of_line(LINE_NAME))


def answer(number: int, at_s: float, active_s: float = 6.0) -> CaptureCorrected:
    """An answer to a capture."""
    event = pseudo_mask(number)
    return CaptureCorrected(
        capture_id=CaptureId(name_of(number)), image_id=event.image_id, image_uri=event.image_uri, line=LINE_NAME,
        product=PRODUCT, serial="", captured_at=event.captured_at, received_at=event.received_at, revision=1,
        verdict=CorrectionVerdict.GOOD, mask_uri="", mask_sha256="", weights=WEIGHTS, score=1.0, threshold=2.0,
        author="ann", corrected_at=at_noon(at_s), selection=Selection.NEAREST, active_s=active_s,
    )  # fmt: skip


def test_corrections_since_the_last_training_set_count_and_seconds_are_summed() -> None:
    latest = {name_of(number): answer(number, number) for number in range(5)}
    frozen: dict[Place, datetime] = {PLACE: at_noon(2)}
    labour = labour_of(line_of(*[1.0] * 6), latest, frozen, needed=10)
    (training,) = labour.trainings
    assert (labour.active_s, training.product, training.new, training.missing) == (30.0, PRODUCT, 2, 8)
    (first,) = labour_of(line_of(*[1.0] * 6), latest, {}, needed=4).trainings
    assert (first.new, first.missing) == (5, 0)


def test_answers_of_another_product_do_not_count() -> None:
    latest = {name_of(0): replace(answer(0, 1), product="lid"), name_of(1): answer(1, 1)}
    labour = labour_of(line_of(1.0, 1.0), latest, {}, needed=10)
    assert (labour.active_s, labour.trainings[0].new) == (6.0, 1)


def test_looking_on_pays_while_a_capture_that_is_left_is_in_doubt() -> None:
    far = line_of(0.5, 0.6, 9.0)
    assert "all 3 captures left are over 20% from the threshold" in labour_of(far, {}, {}, needed=10).advice
    assert labour_of(line_of(0.5, 1.9), {}, {}, needed=10).advice == ""
    answered = {name_of(1): answer(1, 1)}
    assert "the capture left is over 20%" in labour_of(line_of(0.5, 1.9), answered, {}, needed=10).advice
    assert labour_of([], {}, {}, needed=10).advice == ""


@pytest.mark.parametrize(("score", "confidence"), [(3.0, 1.0), (0.5, 0.4)], ids=["contradiction", "low confidence"])
def test_a_doubtful_pseudo_mask_is_worth_a_look_far_from_the_threshold(score: float, confidence: float) -> None:
    window = CaptureWindow(10)
    window.add_verdict(verdict(0, 0.5))
    window.add_pseudo_mask(pseudo_mask(0, score, weights=OTHER, confidence=confidence))
    assert labour_of(window.of_line(LINE_NAME), {}, {}, needed=10).advice == ""


def test_a_run_that_failed_has_used_no_corrections() -> None:
    blobs = MemoryBlobs()

    def last() -> datetime | None:
        return asyncio.run(StoredTrainings(AsyncBlobs(blobs, workers=1)).last_frozen_at(PLACE))

    assert RunOutcome.FAILED.value == FAILED
    assert last() is None
    first, second = (f"{LINE_NAME}.{PRODUCT}.{number:06d}" for number in (1, 2))
    blobs.put(keys.run_spec_key(first), b"{}")
    blobs.put(keys.run_spec_key(second), b"{}")
    at = {info.key: info.modified_at for info in blobs.list("checkpoints/")}
    assert last() == at[keys.run_spec_key(second)]
    blobs.put(keys.run_judgement_key(second), json.dumps({"outcome": "refused"}).encode())
    assert last() == at[keys.run_spec_key(second)]
    blobs.put(keys.run_judgement_key(second), json.dumps({"outcome": "failed"}).encode())
    assert last() == at[keys.run_spec_key(first)]
