"""Compressed run lengths of COCO.

Each length, from the third on as difference to the one two before, is written in groups of five bits, lowest first;
bit 5 says that more follow, and 48 makes a printable character.

Source: ``rleToString`` of the COCO API.
"""

from collections.abc import Sequence
from typing import Final

_FIRST: Final = 48
_MORE: Final = 0x20
_SIGN: Final = 0x10
_GROUPS_MAX: Final = 8  # of one length; a length in a file may be up to 2**35


def write_runs(runs: Sequence[int]) -> str:
    """Compress run lengths, which begin with pixels outside."""
    text = bytearray()
    for number, run in enumerate(runs):
        value = run - runs[number - 2] if number > 2 else run
        while True:
            group = value & 0x1F
            value >>= 5
            is_last = value == (-1 if group & _SIGN else 0)
            text.append((group if is_last else group | _MORE) + _FIRST)
            if is_last:
                break
    return text.decode()


def read_runs(text: str) -> list[int]:
    """Read compressed run lengths.

    Raises:
        ValueError: a character is none of these, a length is too long or negative, or the text ends early.
    """
    runs: list[int] = []
    value = groups = 0
    for character in text.encode("latin-1", errors="replace"):
        code = character - _FIRST
        if not 0 <= code < 64 or groups == _GROUPS_MAX:
            msg = f"run lengths with {chr(character)!r}, which COCO does not write there"
            raise ValueError(msg)
        value |= (code & 0x1F) << (5 * groups)
        groups += 1
        if code & _MORE:
            continue
        if code & _SIGN:
            value |= -1 << (5 * groups)
        if len(runs) > 2:
            value += runs[-2]
        if value < 0:
            msg = f"run lengths with {value}; none may be negative"
            raise ValueError(msg)
        runs.append(value)
        value = groups = 0
    if groups:
        msg = "run lengths that end early"
        raise ValueError(msg)
    return runs
