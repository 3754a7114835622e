"""Teachers that a new threshold may start from, as the store has them."""

from dataclasses import replace
from datetime import UTC, datetime

import torch

from services.labeler.scorer.others import read_other_teachers
from siad.contracts.corrections import ThresholdSet
from siad.contracts.keys import part_key, threshold_key
from siad.contracts.manifest import Manifest
from siad.contracts.place import Place
from siad.contracts.quarantine import QuarantineRecord, TaintedKind
from siad.models.bundle import Bundle, describe_parts
from siad.models.teachers.normals_summary import SUMMARY
from siad.models.teachers.start import start_from_nearest
from siad.models.tensors import pack
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.store.quarantine import Quarantine
from siad.runtime.store.registry import Registry
from tests.manifests import make_manifest

NOW = datetime(2026, 11, 30, tzinfo=UTC)
NEW = Place("new", "p")
SCORES = (1.0, 1.2, 1.4, 1.5, 1.7, 1.9, 2.0, 2.2, 2.4, 3.0)


def bundle(line: str, feature: list[float], *, is_summarised: bool = True) -> Bundle:
    parts = {SUMMARY: pack({"mean": torch.tensor(feature)})} if is_summarised else {"other": line.encode()}
    return Bundle(make_manifest(line=line, parts=describe_parts(parts), held_out_scores=SCORES), parts)


def release(blobs: MemoryBlobs, made: Bundle) -> Manifest:
    registry = Registry(blobs)
    registry.store(made.manifest, made.parts)
    registry.point(made.manifest, expected=None, released_at=NOW)
    return made.manifest


def put_threshold(blobs: MemoryBlobs, manifest: Manifest) -> None:
    in_use = ThresholdSet(
        line=manifest.line,
        product=manifest.product,
        weights=manifest.weights,
        revision=1,
        image_threshold=3.2,
        budget=0.05,
        estimated=0.05,
        low=0.02,
        high=0.09,
        normals=10,
        stream_captures=150,
        answers=0,
        reason="chosen by the budget",
        set_at=NOW,
    )
    blobs.put(threshold_key(*manifest.place, manifest.weights), in_use.to_json())


def lines(blobs: MemoryBlobs) -> list[str]:
    return [one.manifest.line for one in read_other_teachers(blobs, NEW)]


def test_every_other_teacher_with_a_summary_is_read() -> None:
    blobs = MemoryBlobs()
    for line in ("new", "b", "c"):
        release(blobs, bundle(line, [1.0, 0.0]))
    release(blobs, bundle("of-before", [], is_summarised=False))
    assert sorted(lines(blobs)) == ["b", "c"]


def test_a_damaged_summary_and_a_tainted_teacher_are_left_out() -> None:
    blobs = MemoryBlobs()
    damaged, tainted = release(blobs, bundle("b", [1.0, 0.5])), release(blobs, bundle("c", [1.0, 0.0]))
    release(blobs, bundle("d", [0.0, 1.0]))
    blobs.put(part_key(damaged.parts[0].sha256), b"torn")
    Quarantine(blobs).put(
        QuarantineRecord(
            line="c",
            kind=TaintedKind.WEIGHTS,
            subject=tainted.weights,
            root=tainted.weights,
            reason="a broken lamp",
            tainted_at=NOW,
        )
    )
    assert lines(blobs) == ["d"]


def test_a_new_teacher_starts_from_the_threshold_that_a_stream_has_taught() -> None:
    blobs, new = MemoryBlobs(), bundle("new", [1.0, 0.0])
    put_threshold(blobs, release(blobs, bundle("b", [0.9, 0.0])))
    release(blobs, bundle("c", [1.0, 0.0]))  # nearer, but nothing was taught there
    started = start_from_nearest(new, read_other_teachers(blobs, NEW), budget=0.05).manifest
    assert started.nearest is not None
    assert (started.nearest.line, started.nearest.threshold, started.nearest.declined) == ("b", 3.2, "")
    assert new.manifest.image_threshold < started.image_threshold < 3.2
    assert started.pixel_threshold / started.image_threshold == new.manifest.pixel_threshold / 2.0
    assert Manifest.from_json(started.to_json()) == started


def test_unlike_parts_change_nothing_and_are_named() -> None:
    blobs, new = MemoryBlobs(), bundle("new", [1.0, 0.0])
    put_threshold(blobs, release(blobs, bundle("b", [0.0, 1.0])))
    started = start_from_nearest(new, read_other_teachers(blobs, NEW), budget=0.05).manifest
    assert started.nearest is not None
    assert "unlike" in started.nearest.declined
    assert replace(started, nearest=None) == new.manifest


def test_the_first_teacher_of_a_plant_has_nothing_to_start_from() -> None:
    new = bundle("new", [1.0, 0.0])
    assert start_from_nearest(new, read_other_teachers(MemoryBlobs(), NEW), budget=0.05) == new
