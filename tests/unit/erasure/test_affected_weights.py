"""Weights that hold something of a capture to erase."""

from siad.contracts.documents import TrainingSetMembers
from siad.contracts.events import WeightsKind
from siad.contracts.keys import manifest_key, training_set_members_key
from siad.erasure.weights import find_affected_weights
from siad.runtime.blobs.memory import MemoryBlobs
from tests.manifests import make_manifest

NORMAL, STREAM, TRAINED, OTHER = ("a" * 32, "b" * 32, "c" * 32, "d" * 32)


def test_a_residual_segmenter_holds_its_teachers_memory_and_what_it_was_trained_on() -> None:
    blobs, digest = MemoryBlobs(), "5" * 64
    manifest = make_manifest(
        kind=WeightsKind.SEGMENTER,
        method="residual",
        normals=(NORMAL,),
        stream_normals=(STREAM,),
        training_set=digest,
    )
    blobs.put(manifest_key("l", "p", manifest.weights), manifest.to_json())
    blobs.put(training_set_members_key("l", "p", digest), TrainingSetMembers(captures=(TRAINED,)).to_json())
    counts = {
        capture: [one.captures for one in find_affected_weights(blobs, "l", [capture])]
        for capture in (NORMAL, STREAM, TRAINED, OTHER)
    }
    assert counts == {NORMAL: [1], STREAM: [1], TRAINED: [1], OTHER: []}
