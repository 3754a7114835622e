"""How a line wants its teacher, against how one was made."""

from dataclasses import replace
from datetime import UTC, datetime

from siad.contracts.events import LineChanged
from siad.contracts.fit_settings import FitSettings
from siad.contracts.manifest import Manifest
from tests.manifests import PROFILE, make_manifest

LINE = LineChanged(
    line="l",
    revision=1,
    product="p",
    false_reject_budget=0.05,
    shards=1,
    deadline_s=0.0,
    changed_at=datetime(2026, 5, 4, tzinfo=UTC),
)
MANIFEST = make_manifest(
    method="feature-memory",
    input_px=384,
    held_out_scores=(1.0, 3.0),
    metrics=(("false_reject_budget", 0.05), ("normals", 10.0)),
)


def test_a_teacher_of_the_defaults_is_what_a_line_that_says_nothing_wants() -> None:
    assert FitSettings.of_manifest(MANIFEST) == FitSettings.of_line(LINE)


def test_what_a_line_asks_for_comes_back_from_the_teacher_that_was_made_so() -> None:
    region = (0.0, 0.0, 1.0, 0.0, 1.0, 0.5)
    line = replace(LINE, method="student-teacher", region=region, input_px=512, bits=12)
    metrics = (*MANIFEST.metrics, ("asked_bits", 12.0), ("asked_input_px", 512.0))
    made = replace(MANIFEST, method="student-teacher", region=region, input_px=512, metrics=metrics)
    assert FitSettings.of_manifest(Manifest.from_json(made.to_json())) == FitSettings.of_line(line)


def test_a_teacher_without_recorded_settings() -> None:
    assert FitSettings.of_manifest(replace(MANIFEST, metrics=(("normals", 10.0),))) is None


def test_weights_without_a_region_keep_the_name_that_they_had() -> None:
    assert b"region" not in MANIFEST.to_json()
    assert Manifest.from_json(MANIFEST.to_json()) == MANIFEST
    elsewhere = replace(MANIFEST, region=(0.0, 0.0, 1.0, 0.0, 1.0, 0.5))
    assert Manifest.from_json(elsewhere.to_json()) == elsewhere
    assert elsewhere.weights != MANIFEST.weights


def test_weights_without_a_profile_keep_the_name_that_they_had() -> None:
    assert b"profile" not in MANIFEST.to_json()
    profiled = replace(MANIFEST, profile=PROFILE)
    assert Manifest.from_json(profiled.to_json()) == profiled
    assert profiled.weights != MANIFEST.weights


def test_the_spread_of_equal_normals_is_not_nothing() -> None:
    assert MANIFEST.spread == 2**0.5
    assert replace(MANIFEST, held_out_scores=(1.0, 1.0)).spread == 0.002
    assert replace(MANIFEST, held_out_scores=(), image_threshold=0.0).spread > 0
