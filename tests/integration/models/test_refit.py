"""A refit with real networks: what it learns, its threshold, and what the gate finds."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from siad.contracts.corrections import ThresholdSet
from siad.contracts.fit_settings import FitSettings
from siad.contracts.ids import sha256_hex
from siad.contracts.place import Place
from siad.contracts.release_evidence import EvidenceKind, HeldOutCapture
from siad.models.bundle import open_bundle
from siad.models.gate_evidence import HeldOutPixels
from siad.models.teachers.fit import fit_teacher
from siad.models.teachers.normals import Normals
from siad.models.teachers.normals_summary import read_summary, summarise
from siad.models.teachers.refit import Comparison, Refit, refit_teacher
from siad.models.teachers.start import start_from_nearest
from siad.vision.gate import judge_release
from siad.vision.images import Image
from siad.vision.nearest_teacher import DISTANCE_MAX, OtherTeacher
from tests.synthetic import part_image

pytestmark = pytest.mark.slow

SETTINGS = FitSettings(false_reject_budget=0.05, input_px=128)
PLACE = Place("l", "p")


def name(number: int) -> str:
    return sha256_hex(str(number).encode())[:32]


IMAGES: dict[str, Image] = {name(number): part_image(number, defect=number % 5 == 0) for number in range(100, 140)}
HELD_OUT = [HeldOutCapture(capture_id=one, kind=EvidenceKind.STREAM) for one in IMAGES]


def normals_of(numbers: Sequence[int], unconfirmed: Sequence[int] = ()) -> Normals:
    every = [*numbers, *unconfirmed]
    made = Normals.ordered([part_image(number) for number in every], [name(number) for number in every], PLACE)
    return replace(made, unconfirmed=frozenset(map(name, unconfirmed)))


def read(captures: Sequence[HeldOutCapture]) -> Iterator[tuple[HeldOutCapture, HeldOutPixels]]:
    for capture in captures:
        yield capture, (IMAGES[capture.capture_id], None)


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    bundle = fit_teacher(normals_of(range(10)), SETTINGS)
    return Comparison(serving=open_bundle(bundle.manifest, bundle.parts), captures=HELD_OUT, read=read)


def refit(comparison: Comparison, normals: Normals, settings: FitSettings = SETTINGS) -> Refit:
    return refit_teacher(normals, settings, comparison)


def test_a_refit_learns_the_stream_and_only_normals_set_its_threshold(comparison: Comparison) -> None:
    made = refit(comparison, normals_of(range(10), range(20, 30)))
    manifest = made.bundle.manifest
    assert len(manifest.normals) == len(manifest.held_out_scores) == 10
    assert set(manifest.stream_normals) == {name(number) for number in range(20, 30)}
    assert made.evidence is not None
    assert made.evidence.candidate.weights == manifest.weights
    assert made.evidence.candidate.threshold == manifest.image_threshold
    goods = [
        score
        for capture, score in zip(made.evidence.captures, made.evidence.candidate.scores, strict=True)
        if capture.capture_id not in {name(number) for number in range(100, 140, 5)}
    ]
    assert np.mean(np.array(goods) >= manifest.image_threshold) <= 0.2
    again = refit(comparison, normals_of(range(10), range(20, 30)))
    assert again.bundle.manifest.weights == manifest.weights


def test_the_gate_refuses_a_teacher_of_noise(comparison: Comparison) -> None:
    noise = [np.random.default_rng(seed).integers(0, 256, (64, 64, 1), np.uint8) for seed in range(10)]
    spoilt = Normals.ordered(noise, [name(number) for number in range(10)], PLACE)
    made = refit(comparison, spoilt)
    assert made.evidence is not None
    decision = judge_release(made.evidence)
    assert not decision.accepted
    assert decision.reasons


def test_a_teacher_is_level_with_itself(comparison: Comparison) -> None:
    made = refit(comparison, normals_of(range(10)))
    assert made.evidence is not None
    assert judge_release(made.evidence).accepted
    assert dict(judge_release(made.evidence).figures)["rank_agreement"] == pytest.approx(1.0)


def test_a_first_teacher_starts_from_like_parts_and_declines_unlike_ones(comparison: Comparison) -> None:
    other = comparison.serving.manifest
    in_use = ThresholdSet(
        line="l",
        product="p",
        weights=other.weights,
        revision=1,
        image_threshold=1.3 * other.image_threshold,
        budget=0.05,
        estimated=0.05,
        low=0.02,
        high=0.1,
        normals=10,
        stream_captures=200,
        answers=0,
        reason="chosen by the budget",
        set_at=datetime(2026, 11, 30, tzinfo=UTC),
    )
    normals = replace(normals_of(range(40, 50)), place=Place("new", "p"))
    plain = refit_teacher(normals, SETTINGS, None).bundle
    like = OtherTeacher(manifest=other, mean_D=read_summary(summarise(normals_of(range(10)).images)), in_use=in_use)
    noise = [np.random.default_rng(seed).integers(0, 256, (128, 128, 3), np.uint8) for seed in range(3)]
    unlike = replace(like, mean_D=read_summary(summarise(noise)))
    started, alone = (start_from_nearest(plain, [one], budget=0.05).manifest for one in (like, unlike))
    assert started.nearest is not None
    assert alone.nearest is not None
    assert started.nearest.distance < DISTANCE_MAX <= alone.nearest.distance
    assert plain.manifest.image_threshold < started.image_threshold < in_use.image_threshold
    assert alone.image_threshold == plain.manifest.image_threshold
    refitted = refit_teacher(normals, SETTINGS, None, [like]).bundle
    assert refitted.manifest.image_threshold == started.image_threshold
    assert open_bundle(refitted.manifest, refitted.parts).image_threshold == started.image_threshold
