"""Evidence of two models on the same captures and synthetic defects."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from siad.contracts.release_evidence import EvidenceKind, GateEvidence, HeldOutCapture
from siad.models.gate_evidence import CrossFittedCandidate, HeldOutPixels, collect_evidence
from siad.models.predictor import Predictor
from siad.vision.gate import judge_release
from siad.vision.masks import DEFECT
from tests.manifests import make_manifest
from tests.runners import BrightnessRunner

STREAM, CORRECTED = EvidenceKind.STREAM, EvidenceKind.DEFECT


class Inverted(BrightnessRunner):
    """Scores dark pixels high."""

    def run(self, inputs_BCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        return -super().run(inputs_BCHW)


def picture(value: int) -> NDArray[np.uint8]:
    return np.full((64, 64, 1), value, np.uint8)


IMAGES = {f"{value:032x}": picture(value) for value in range(100, 130)}


class Store:
    """Captures in memory; keeps which were read."""

    def __init__(self, masks: dict[str, NDArray[np.uint8]] | None = None, missing: str = "") -> None:
        self.masks, self.missing = masks or {}, missing
        self.reads: list[list[str]] = []

    def read(self, captures: Sequence[HeldOutCapture]) -> Iterator[tuple[HeldOutCapture, HeldOutPixels]]:
        self.reads.append([capture.capture_id for capture in captures])
        for capture in captures:
            if capture.capture_id != self.missing:
                yield capture, (IMAGES[capture.capture_id], self.masks.get(capture.capture_id))


def model(runner: BrightnessRunner, threshold: float = 0.5) -> Predictor:
    return Predictor(make_manifest(image_threshold=threshold), runner)


CAPTURES = [HeldOutCapture(capture_id=name, kind=STREAM) for name in IMAGES]
FEW = CAPTURES[::5]  # too few for synthetic defects, which take most of the time


def test_equal_models_have_equal_figures_and_pass() -> None:
    store = Store()
    made = collect_evidence(model(BrightnessRunner()), model(BrightnessRunner()), CAPTURES, store.read, budget=0.05)
    assert made.candidate == made.serving
    assert made.candidate.scores == pytest.approx([(value - 127) / 128 for value in range(100, 130)], abs=1e-5)
    assert made.candidate.probes is not None
    assert len(made.candidate.probes.scores) == 72
    assert len(made.candidate.probes.merits_without) == 12
    assert judge_release(made).accepted


def test_the_merit_without_a_host_is_that_of_the_others() -> None:
    flat = model(BrightnessRunner())
    few = [*CAPTURES[:10]]
    made = collect_evidence(flat, flat, few, Store().read, budget=0.05).candidate.probes
    assert made is not None
    hosts = Store()
    collect_evidence(flat, flat, few, hosts.read, budget=0.05)
    without = Store(missing=hosts.reads[1][0])  # it is the first host; the others stay hosts
    less = collect_evidence(flat, flat, few, without.read, budget=0.05)
    assert less.candidate.probes is not None
    assert set(without.reads[1]) == set(hosts.reads[1][1:])
    assert made.merits_without[0] == pytest.approx(less.candidate.probes.merit)


def test_probes_are_put_into_captures_that_the_serving_model_scores_low() -> None:
    store = Store()
    collect_evidence(model(Inverted()), model(BrightnessRunner()), CAPTURES, store.read, budget=0.05)
    first, hosts = store.reads
    assert first == list(IMAGES)
    assert len(hosts) == 12
    assert set(hosts) <= set(list(IMAGES)[:18])


def test_another_order_of_scores_is_refused() -> None:
    made = collect_evidence(model(Inverted()), model(BrightnessRunner()), CAPTURES, Store().read, budget=0.05)
    assert dict(judge_release(made).figures)["rank_agreement"] == pytest.approx(-1)
    assert not judge_release(made).accepted


def test_a_corrected_mask_gives_pixel_figures() -> None:
    name = FEW[0].capture_id
    mask = np.zeros((64, 64), np.uint8)
    mask[:32] = DEFECT
    captures = [HeldOutCapture(capture_id=name, kind=CORRECTED), *FEW[1:]]
    made = collect_evidence(
        model(BrightnessRunner()), model(BrightnessRunner()), captures, Store({name: mask}).read, budget=0.05
    )
    assert made.candidate.pixel_aps[0] == pytest.approx(0.5)  # a flat map finds half of the pixels by chance
    assert set(made.candidate.pixel_aps[1:]) == {None}
    assert made.candidate.corrected_pixel_ap == pytest.approx(0.5)
    good = [captures[0], replace(captures[1], kind=EvidenceKind.GOOD)]  # a brighter capture without a defect
    made = collect_evidence(
        model(BrightnessRunner()), model(BrightnessRunner()), good, Store({name: mask}).read, budget=0.05
    )
    assert made.candidate.pixel_aps[0] == pytest.approx(0.5), "on its own it is as before"
    assert made.candidate.corrected_pixel_ap == pytest.approx(0.25), "all its pixels score lower than those"


def test_a_capture_that_cannot_be_read_is_in_neither() -> None:
    made = collect_evidence(
        model(BrightnessRunner()),
        model(BrightnessRunner()),
        FEW,
        Store(missing=FEW[3].capture_id).read,
        budget=0.05,
    )
    assert len(made.captures) == len(made.serving.scores) == len(FEW) - 1


def test_few_captures_have_no_probes() -> None:
    made = collect_evidence(
        model(BrightnessRunner()), model(BrightnessRunner()), CAPTURES[:5], Store().read, budget=0.05
    )
    assert made.candidate.probes is None


def test_a_cross_fitted_capture_is_scored_by_the_network_that_did_not_learn_it() -> None:
    captures = [replace(CAPTURES[0], kind=EvidenceKind.GOOD, is_cross_fitted=True), *CAPTURES[1:6]]
    candidate = CrossFittedCandidate(model(BrightnessRunner()), {CAPTURES[0].capture_id: model(Inverted())})
    store = Store()
    made = collect_evidence(candidate, model(BrightnessRunner()), captures, store.read, budget=0.05)
    assert made.candidate.scores[0] == pytest.approx(-made.serving.scores[0])
    assert made.candidate.scores[1:] == made.serving.scores[1:]
    assert CAPTURES[0].capture_id not in store.reads[1], "the candidate knows it, so no synthetic defect belongs there"
    assert GateEvidence.from_json(made.to_json()) == made
