"""Any image against any line: a misfit is never scored, and an image like the normals always is."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from siad.contracts.depth import white_of
from siad.models.predictor import Predictor
from siad.vision.decide import Finding
from siad.vision.images import Image
from siad.vision.plausibility import Misfit, profile_normals
from tests.fuzzing import fuzzed
from tests.manifests import make_manifest
from tests.runners import BrightnessRunner

Kind = Callable[["View"], bool]


@dataclass(frozen=True)
class View:
    """What an image is like, apart from what it shows."""

    width: int
    height: int
    colour: str  # grey file, grey in rgb, rgb
    container: int
    bits: int
    seed: int = 0

    def image(self) -> Image:
        """Noise of this kind, which reaches the white of its depth, and has red and blue where it is coloured."""
        rng = np.random.default_rng(self.seed)
        shape = (self.height, self.width, 1 if self.colour == "grey" else 3)
        values = rng.integers(0, white_of(self.bits) + 1, shape)
        if self.colour == "grey in rgb":
            values[...] = values[:, :, :1]
        values[0, 0] = white_of(self.bits)
        if self.colour == "rgb":
            values[-1, -1] = (white_of(self.bits), 0, 0)
        return values.astype(np.uint8) if self.container == 8 else values.astype(np.uint16)


SIDES = st.integers(1, 90)
VIEWS = st.builds(
    View,
    width=SIDES,
    height=SIDES,
    colour=st.sampled_from(["grey", "grey in rgb", "rgb"]),
    container=st.just(16),
    bits=st.sampled_from([8, 10, 12, 14, 16]),
    seed=st.integers(0, 3),
) | st.builds(
    View,
    width=SIDES,
    height=SIDES,
    colour=st.sampled_from(["grey", "grey in rgb", "rgb"]),
    container=st.just(8),
    bits=st.just(8),
    seed=st.integers(0, 3),
)


def reasons(line: View, other: View) -> set[str]:
    """In what an image of one kind differs from normals of another, said without the product's code."""
    found = set()
    pairs = [(line.width, other.width), (line.height, other.height)]
    pairs.append((line.width * other.height, other.width * line.height))  # the aspects, multiplied out
    if any(abs(theirs - ours) > 0.02 * ours + 1e-9 for ours, theirs in pairs):
        found.add("size")
    if (line.colour == "rgb") != (other.colour == "rgb"):
        found.add("channels")
    if line.container != other.container or other.bits > line.bits:
        found.add("depth")
    return found


def examined(line: View, other: View) -> Finding | Misfit:
    profile = profile_normals([line.image(), line.image()], line.bits)
    manifest = make_manifest(image_threshold=9.0, pixel_threshold=9.0, profile=profile)  # all that is scored passes
    [found] = Predictor(manifest, BrightnessRunner()).examine([other.image()])
    return found


def is_near_an_edge(line: View, other: View) -> bool:
    """Whether the aspect is so close to a limit that the order of the division decides."""
    ratio = (other.width * line.height) / (line.width * other.height)
    return min(abs(ratio - 0.98), abs(ratio - 1.02)) < 0.002


@fuzzed
@given(line=VIEWS, other=VIEWS)
def test_no_misfit_is_ever_judged(line: View, other: View) -> None:
    expected = reasons(line, other)
    found = examined(line, other)
    if isinstance(found, Misfit):
        assert found.reason.value in expected or is_near_an_edge(line, other)
    else:
        assert not expected or is_near_an_edge(line, other)


@fuzzed
@given(line=VIEWS, change=st.sampled_from(["none", "size", "channels", "depth"]))
def test_an_image_that_differs_in_one_respect_is_unknown_for_it(line: View, change: str) -> None:
    width, colour, bits = line.width, line.colour, line.bits
    if change == "size":
        width = 3 * line.width
    elif change == "channels":
        colour = "grey in rgb" if line.colour == "rgb" else "rgb"
    container = line.container
    if change == "depth":
        container = 24 - line.container
        bits = 8 if container == 8 else 16
    other = View(width, line.height, colour, container, bits, line.seed + 7)
    found = examined(line, other)
    if change == "none":
        assert isinstance(found, Finding)
    else:
        assert isinstance(found, Misfit)
        assert found.reason.value == change
