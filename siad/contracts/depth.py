"""Depth that a line may state: significant bits of its camera's samples."""

from typing import Final

BITS_MIN: Final = 8
FULL_BITS: Final = 16


def require_bits(bits: int) -> None:
    """Raise ValueError for a depth that no camera file has."""
    if bits and not BITS_MIN <= bits <= FULL_BITS:
        msg = f"bits {bits} is not {BITS_MIN} to {FULL_BITS}, nor 0 to find the depth from the normals"
        raise ValueError(msg)


def white_of(bits: int) -> int:
    """Highest value of a sample: 4095 of 12 bits."""
    return (1 << bits) - 1
