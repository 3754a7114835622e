"""Manifests without fitted weights, for tests that ask what is done with one."""

from dataclasses import replace
from typing import Any

from siad.contracts.events import WeightsKind
from siad.contracts.manifest import BundlePart, Manifest
from siad.contracts.normals_profile import NormalsProfile

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

# of 256x192 px, grey, 12 bits in files of 16
PROFILE = NormalsProfile(
    widths_px=(256, 256),
    heights_px=(192, 192),
    aspects=(256 / 192, 256 / 192),
    has_grey=True,
    has_colour=False,
    chroma=0.0,
    containers=(16,),
    bits=12,
    brightest=(0.5, 1.0),
)


def make_manifest(**said: Any) -> Manifest:
    """A teacher's manifest that says this, and of all else something that holds."""
    return replace(_TEACHER, **said)
