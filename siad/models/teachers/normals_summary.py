"""Summary of a teacher's normals, to find teachers of like parts.

One vector: what the pretrained backbone shows on average, by stage. It says what kind of part and picture the normals
are, whatever the teacher's method is. ``siad.vision.nearest_teacher`` compares two.

Shape suffixes: N = normals, D = channels of all stages together, B = 1, h, w = size of a stage's output.
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from siad.contracts.errors import CorruptError
from siad.models.backbone import FEATURES, Backbone, pretrained_backbone
from siad.models.tensors import pack, unpack
from siad.models.tiled_backbone import outputs_of
from siad.vision.images import Image
from siad.vision.preprocess import preprocess

SUMMARY: Final = "summary.safetensors"  # part of a bundle; older bundles lack it
_MEAN: Final = "mean"
_INPUT_PX: Final = 256  # side of the square with the area that images are brought to, whatever the teacher's is
_NORMALS_MAX: Final = 50  # that are averaged


@torch.inference_mode()
def summarise(images: Sequence[Image]) -> bytes:
    """Average the features of normals.

    Args:
        images: at least one, uint8 or uint16 [H, W, C] of the full range, cut to the region of interest.

    Returns:
        A part of a bundle.
    """
    backbone = pretrained_backbone("lite0")
    features_ND = torch.stack([_feature(backbone, image_HWC) for image_HWC in images[:_NORMALS_MAX]])
    return pack({_MEAN: features_ND.mean(0)})


def read_summary(data: bytes) -> NDArray[np.float32]:
    """Read what ``summarise`` wrote: float32 [D].

    Raises:
        CorruptError: the bytes are no summary.
    """
    tensors = unpack(data)
    if _MEAN not in tensors or tensors[_MEAN].ndim != 1 or not bool(torch.isfinite(tensors[_MEAN]).all()):
        msg = f"{len(data)} bytes are no summary of normals: they hold {', '.join(sorted(tensors)) or 'nothing'}"
        raise CorruptError(msg)
    return np.asarray(tensors[_MEAN].numpy(), np.float32)


def _feature(backbone: Backbone, image_HWC: Image) -> Tensor:
    """Average each stage over the image; stages have equal weights."""
    input_BCHW = torch.from_numpy(preprocess(image_HWC, input_px=_INPUT_PX))[None]
    stages = [output_BDhw.mean((2, 3))[0] for output_BDhw in outputs_of(backbone, input_BCHW, FEATURES)]
    return torch.cat([functional.normalize(mean_D, dim=0) for mean_D in stages]).div(math.sqrt(len(stages)))
