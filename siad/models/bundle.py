"""Files <-> model: what lies in the store becomes what serves a line, or is refused.

Parts are safetensors and JSON, never pickles: a bundle can't run code. A method is a module with a function
``load(manifest, parts) -> Detector``; it is imported when the first bundle of its kind is opened.
"""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from siad.contracts.errors import CorruptError
from siad.contracts.manifest import BundlePart, Manifest, part_of
from siad.models.detector import Detector
from siad.models.predictor import Predictor
from siad.vision.images import DECODER_VERSION, Image
from siad.vision.preprocess import PREPROCESS_VERSION, preprocess

METHODS: Final[Mapping[str, str]] = {
    "feature-memory": "siad.models.teachers.feature_memory",
    "student-teacher": "siad.models.teachers.student_teacher",
    "autoencoder": "siad.models.teachers.autoencoder",
    "memory-autoencoder": "siad.models.teachers.memory_autoencoder",
    "template": "siad.models.teachers.template",
    "draem": "siad.models.teachers.draem",
    "gan-inversion": "siad.models.teachers.gan_inversion",
    "ensemble": "siad.models.teachers.ensemble",
    "unet": "siad.models.segmenter",
}
GOLDEN: Final = "golden.safetensors"
_GOLDEN_PX = 64
_GOLDEN_TOLERANCE = 1e-3  # of the largest score; CPU types differ by some 1e-5, another bank by tenths


class GoldenError(ValueError):
    """The model does not give the outputs that it gave when it was made: it must not serve."""


class UnusableWeightsError(ValueError):
    """This code can't open the bundle: it is of another method, decoder or preprocessing."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """One set of weights, whole."""

    manifest: Manifest
    parts: Mapping[str, bytes]  # by name, as the manifest lists them


def describe_parts(parts: Mapping[str, bytes]) -> tuple[BundlePart, ...]:
    """What a manifest says of its files, sorted by name."""
    return tuple(part_of(name, parts[name]) for name in sorted(parts))


def pack(tensors: Mapping[str, Tensor]) -> bytes:
    """Tensors as one safetensors file; equal tensors give equal bytes."""
    data: bytes = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    return data


def unpack(data: bytes) -> dict[str, Tensor]:
    """Read ``pack`` back.

    Raises:
        CorruptError: the bytes are not safetensors.
    """
    try:
        tensors: dict[str, Tensor] = load(data)
    except SafetensorError as error:
        msg = f"{len(data)} bytes are not safetensors: {error}"
        raise CorruptError(msg) from error
    return tensors


def golden_crops(normal_HWC: Image) -> list[NDArray[np.uint8]]:
    """Two small inputs for ``golden_part``: the middle of a normal, and noise, which is far from any memory."""
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


def golden_part(detector: Detector, crops: Sequence[NDArray[np.uint8]]) -> bytes:
    """Write down what a model answers to a few small inputs, for ``open_bundle`` to ask again.

    Args:
        detector: the model, as it will be served.
        crops: uint8 [H, W, 3], equal sizes, sides multiples of 32; kept in the part, so small.
    """
    crops_GHWC = torch.from_numpy(np.stack(crops))
    return pack({"crops": crops_GHWC, "maps": _answer(detector, crops_GHWC)})


def open_bundle(manifest: Manifest, parts: Mapping[str, bytes]) -> Predictor:
    """Make a bundle ready to serve, and hold it against its golden outputs.

    Args:
        manifest: what it is.
        parts: bytes by part name, their digests already verified.

    Raises:
        UnusableError: made for another method, decoder or preprocessing than this code has.
        GoldenError: it does not reproduce its golden outputs.
        CorruptError: a part is missing or can't be read.
    """
    if manifest.method not in METHODS:
        msg = f"weights {manifest.weights[:12]} are of method {manifest.method!r}; this code knows {', '.join(METHODS)}"
        raise UnusableWeightsError(msg)
    found = (manifest.decoder_version, manifest.preprocess_version)
    if found != (DECODER_VERSION, PREPROCESS_VERSION):
        known = (DECODER_VERSION, PREPROCESS_VERSION)
        msg = (
            f"weights {manifest.weights[:12]} want decoder and preprocessing {found}; this code has {known}: refit them"
        )
        raise UnusableWeightsError(msg)
    missing = sorted({part.name for part in manifest.parts} - parts.keys())
    if missing:
        msg = f"weights {manifest.weights[:12]} lack the parts {', '.join(missing)}"
        raise CorruptError(msg)
    detector: Detector = importlib.import_module(METHODS[manifest.method]).load(manifest, parts)
    _check_golden(manifest, detector, parts[GOLDEN])
    return Predictor(manifest, detector)


def _check_golden(manifest: Manifest, detector: Detector, data: bytes) -> None:
    golden = unpack(data)
    expected, given = golden["maps"], _answer(detector, golden["crops"])
    if expected.shape != given.shape:
        msg = (
            f"weights {manifest.weights[:12]} give maps of {list(given.shape)}, golden ones are {list(expected.shape)}"
        )
        raise GoldenError(msg)
    allowed = _GOLDEN_TOLERANCE * float(expected.abs().max())
    worst = float((expected - given).abs().max())
    if not worst <= allowed:  # so that NaN fails
        msg = f"weights {manifest.weights[:12]} miss their golden scores by {worst:.3g}; {allowed:.3g} is allowed"
        raise GoldenError(msg)


def _answer(detector: Detector, crops_GHWC: Tensor) -> Tensor:
    height, width = crops_GHWC.shape[1:3]
    side = (height * width) ** 0.5
    crops = [preprocess(np.ascontiguousarray(crop.numpy()), input_px=round(side)) for crop in crops_GHWC]
    with torch.inference_mode():
        return detector.score(torch.from_numpy(np.stack(crops))).float().cpu()
