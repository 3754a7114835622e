"""Samples of fewer bits than the type that holds them.

Everywhere in SIAD white is 255 in an image of 8 bits and 65535 in one of 16, so a reader scales samples of fewer bits
linearly, each to the nearest value (W3C PNG 3rd edition, section 12.4).
"""

from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

FULL_BITS: Final = 16


def scale_samples(samples: NDArray[Any], bits: int) -> NDArray[Any]:
    """Scale samples to the full range of their type.

    Args:
        samples: uint8 or uint16, each below 2**bits.
        bits: of a sample.

    Returns:
        An array of the same shape and type: 0 stays 0, and 2**bits - 1 becomes 255 or 65535.
    """
    if bits == 8 * samples.dtype.itemsize:
        return samples
    scaled: NDArray[Any] = np.take(_table(bits, samples.dtype.str), samples)
    return scaled


def is_scaled(samples: NDArray[np.uint16], bits: int) -> bool:
    """Whether samples of 16 bits are scaled ones of ``bits`` bits.

    Encoders shift samples up, repeat their bits below them, or multiply them; each leaves a trace in the low bits.
    """
    shift = FULL_BITS - bits
    upper = samples >> shift
    highest = 2**bits - 1
    shifted = np.arange(2**bits, dtype=np.uint32) << shift
    repeated, reach = shifted.copy(), bits
    while reach < FULL_BITS:
        repeated |= repeated >> reach
        reach *= 2
    nearest = (samples.astype(np.uint32) * highest + 32767) // 65535
    return (
        np.array_equal(samples, shifted[upper])
        or np.array_equal(samples, repeated[upper])
        or np.array_equal(samples, scale_samples(nearest.astype(np.uint16), bits))
    )


@lru_cache(maxsize=32)
def _table(bits: int, dtype: str) -> NDArray[Any]:
    """Scaled value of each value below 2**bits."""
    highest = 2**bits - 1
    full = np.iinfo(dtype).max
    table: NDArray[Any] = np.rint(np.arange(2**bits) * (full / highest)).astype(dtype)
    return table
