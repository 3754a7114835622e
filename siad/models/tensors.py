"""Tensors as safetensors files.

Equal tensors give equal bytes, and a file can't run code.
"""

from collections.abc import Mapping

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from siad.contracts.errors import CorruptError


def pack(tensors: Mapping[str, Tensor]) -> bytes:
    """Write tensors as one safetensors file."""
    data: bytes = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    return data


def unpack(data: bytes) -> dict[str, Tensor]:
    """Read what ``pack`` wrote.

    Raises:
        CorruptError: the bytes are not safetensors.
    """
    try:
        tensors: dict[str, Tensor] = load(data)
    except SafetensorError as error:
        msg = f"{len(data)} bytes are not safetensors: {error}"
        raise CorruptError(msg) from error
    return tensors
