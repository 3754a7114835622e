"""Bundles: the files of one set of weights.

Parts are safetensors and JSON, never pickles: a bundle can't run code. Every bundle stores the scores that its network
gave for two small inputs when it was made (the golden part); a network that no longer gives them is refused.

Shape suffixes: G = golden inputs, H, W = their size, C = channels, h, w = size of a map.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from siad.contracts.errors import CorruptError, GoldenError, UnusableWeightsError
from siad.contracts.manifest import BundlePart, Manifest, part_of
from siad.models.predictor import Predictor
from siad.models.runner.open import EXACT, open_runner
from siad.models.runner.port import Runner
from siad.models.runner.screening import ScreeningRunner, check_screen
from siad.vision.images import DECODER_VERSION, Image
from siad.vision.memory_errors import out_of_memory_named
from siad.vision.preprocess import PREPROCESS_VERSION, preprocess

GOLDEN: Final = "golden.safetensors"
_GOLDEN_PX = 64
_GOLDEN_TOLERANCE = 1e-3  # of the largest score; CPU types differ by some 1e-5, another memory bank by tenths
# What Python and its libraries raise for data of another shape or content than the code expects.
_UNFIT = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    CorruptError,
    LookupError,
    RuntimeError,
    SafetensorError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class Bundle:
    """One complete set of weights."""

    manifest: Manifest
    parts: Mapping[str, bytes]  # by name, as the manifest lists them


def describe_parts(parts: Mapping[str, bytes]) -> tuple[BundlePart, ...]:
    """Describe files for a manifest, sorted by name."""
    return tuple(part_of(name, parts[name]) for name in sorted(parts))


def golden_crops(normal_HWC: Image) -> list[NDArray[np.uint8]]:
    """Make two small inputs for ``golden_part``.

    The middle of a normal, and noise, which is far from any normal.
    """
    height, width, channels = normal_HWC.shape
    side = min(height, width, 4 * _GOLDEN_PX)
    top, left = (height - side) // 2, (width - side) // 2
    middle = normal_HWC[top : top + side, left : left + side]
    small = cv2.resize(middle, (_GOLDEN_PX, _GOLDEN_PX), interpolation=cv2.INTER_AREA)
    if small.dtype == np.uint16:
        small = (small >> 8).astype(np.uint8)
    normal = np.broadcast_to(small.reshape(_GOLDEN_PX, _GOLDEN_PX, channels), (_GOLDEN_PX, _GOLDEN_PX, 3))
    noise = np.random.default_rng(0).integers(0, 256, (_GOLDEN_PX, _GOLDEN_PX, 3), dtype=np.uint8)
    return [np.ascontiguousarray(normal), noise]


def golden_part(runner: Runner, crops: Sequence[NDArray[np.uint8]]) -> bytes:
    """Store a network's scores for a few small inputs.

    ``open_bundle`` compares them.

    Args:
        runner: the network, as it will serve.
        crops: uint8 [H, W, 3], equal sizes, sides multiples of 32; they are stored with the scores.
    """
    crops_GHWC = np.stack(crops)
    data: bytes = save({"crops": crops_GHWC, "maps": _score_crops(runner, crops_GHWC)})
    return data


def open_bundle(manifest: Manifest, parts: Mapping[str, bytes], *, runner: str = EXACT) -> Predictor:
    """Open a bundle with the fastest runner that gives its golden scores.

    Args:
        manifest: of the bundle.
        parts: bytes by part name, their digests already verified.
        runner: name of the one to use; ``exact``: as measured; ``auto``: also one that screens, for serving.

    Raises:
        UnusableWeightsError: made for another method, decoder or preprocessing than this code has, or a part is missing
            or does not fit; ``GoldenError`` where it does not reproduce its golden scores.
        OutOfMemoryError: memory ran out; the weights may be good.
    """
    _check_versions(manifest)
    missing = sorted({part.name for part in manifest.parts} - parts.keys())
    if missing:
        msg = f"weights {manifest.weights[:12]} lack the parts {', '.join(missing)}; publish the whole bundle again"
        raise UnusableWeightsError(msg)
    try:
        with out_of_memory_named(f"loading weights {manifest.weights[:12]}"):
            golden = load(parts[GOLDEN])
            chosen = open_runner(manifest, parts, wanted=runner, check=lambda one: _check_golden(manifest, one, golden))
    except _UNFIT as error:
        reason = str(error) or type(error).__name__
        msg = f"weights {manifest.weights[:12]} have parts that this code can't use; fit them again: {reason}"
        raise UnusableWeightsError(msg) from error
    return Predictor(manifest, chosen)


def _check_versions(manifest: Manifest) -> None:
    found = (manifest.decoder_version, manifest.preprocess_version)
    known = (DECODER_VERSION, PREPROCESS_VERSION)
    if found != known:
        msg = (
            f"weights {manifest.weights[:12]} need decoder and preprocessing {found}, this code has {known}; refit them"
        )
        raise UnusableWeightsError(msg)


def _check_golden(manifest: Manifest, runner: Runner, golden: Mapping[str, NDArray[Any]]) -> None:
    if isinstance(runner, ScreeningRunner):
        _check_golden(manifest, runner.exact, golden)
    expected_Ghw, given_Ghw = golden["maps"], _score_crops(runner, golden["crops"])
    if expected_Ghw.shape != given_Ghw.shape:
        shapes = f"{list(given_Ghw.shape)}, the stored ones are {list(expected_Ghw.shape)}"
        msg = f"weights {manifest.weights[:12]} give golden scores of shape {shapes}"
        raise GoldenError(msg)
    if isinstance(runner, ScreeningRunner):
        check_screen(given_Ghw, expected_Ghw, name=runner.name)
    else:
        _check_exact(manifest, runner.name, given_Ghw, expected_Ghw)
    verdicts, stored = (maps_Ghw.max((1, 2)) >= manifest.image_threshold for maps_Ghw in (given_Ghw, expected_Ghw))
    if not np.array_equal(verdicts, stored):
        msg = f"weights {manifest.weights[:12]} judge a golden input otherwise than when they were made ({runner.name})"
        raise GoldenError(msg)


def _check_exact(
    manifest: Manifest, name: str, given_Ghw: NDArray[np.float32], expected_Ghw: NDArray[np.float32]
) -> None:
    allowed = _GOLDEN_TOLERANCE * float(np.abs(expected_Ghw).max())
    worst = float(np.abs(expected_Ghw - given_Ghw).max())
    if not worst <= allowed:  # so that NaN fails
        given = f"weights {manifest.weights[:12]} miss their golden scores by {worst:.3g}; {allowed:.3g} is allowed"
        msg = f"{given} (runner {name})"
        raise GoldenError(msg)


def _score_crops(runner: Runner, crops_GHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Score golden inputs: float32 [G, h, w], the mean over views."""
    height, width = crops_GHWC.shape[1:3]
    side = (height * width) ** 0.5
    inputs = [preprocess(np.ascontiguousarray(crop_HWC), input_px=round(side)) for crop_HWC in crops_GHWC]
    return np.ascontiguousarray(runner.run(np.stack(inputs)).mean(1))
