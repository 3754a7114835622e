"""Manifests without fitted weights, for tests that ask what is done with one."""

from dataclasses import replace
from typing import Any

from siad.contracts.events import WeightsKind
from siad.contracts.manifest import BundlePart, Manifest

_TEACHER = Manifest(
    kind=WeightsKind.TEACHER,
    method="feature-memory",
    line="l",
    product="p",
    code_version="1",
    parts=(BundlePart(name="golden", sha256="a" * 64, size_bytes=1),),
    decoder_version=1,
    preprocess_version=1,
    input_px=64,
    image_threshold=2.0,
    pixel_threshold=2.0,
    promised_false_reject=None,
    held_out_scores=(1.0, 2.0),
    metrics=(),
    normals=(),
    training_set=None,
    parent=None,
)


def make_manifest(**said: Any) -> Manifest:
    """A teacher's manifest that says this, and of all else something that holds."""
    return replace(_TEACHER, **said)
