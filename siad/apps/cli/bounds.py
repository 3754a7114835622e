"""Bounds of numbers on the command line, checked before any work.

Typer's ``min`` and ``max`` let NaN through, and do not say what was probably meant.
"""

import math
import os
from collections.abc import Callable
from typing import Final

import typer

THREADS_MAX: Final = 256
SEED_MAX: Final = 2**32 - 1


def budget(value: float | None) -> float | None:
    """A fraction of good parts, over 0 and under 1, or none.

    Raises:
        typer.BadParameter: it is not; the message says what a percentage would be.
    """
    if value is not None and not 0 < value < 1:  # also NaN
        meant = f"; {value:g} % is {value / 100:g}" if 1 <= value < 100 else ""
        msg = f"{value:g} is not a fraction between 0 and 1{meant}. Nothing was done"
        raise typer.BadParameter(msg)
    return value


def finite(value: float | None) -> float | None:
    """A finite number, or none; ingest checks its range.

    Raises:
        typer.BadParameter: it is infinite or NaN, which JSON can't hold.
    """
    if value is not None and not math.isfinite(value):
        msg = f"{value:g} is not a finite number. Nothing was done"
        raise typer.BadParameter(msg)
    return value


def threads(value: int) -> int:
    """A number of threads, from 1."""
    if not 1 <= value <= THREADS_MAX:
        msg = (
            f"{value} is not a number of threads from 1 to {THREADS_MAX}; this machine has {os.cpu_count()} "
            "processors. Nothing was done"
        )
        raise typer.BadParameter(msg)
    return value


def whole(least: int, most: int, unit: str) -> Callable[[int], int]:
    """A check of a whole number."""

    def check(value: int) -> int:
        if not least <= value <= most:
            msg = f"{value} is not a {unit} from {least} to {most:,}. Nothing was done"
            raise typer.BadParameter(msg)
        return value

    return check


def side_px(least: int, most: int) -> Callable[[int], int]:
    """A check of a side in pixels; 0 stands for no scaling."""

    def check(value: int) -> int:
        if value and not least <= value <= most:
            msg = f"{value} is not a side of {least} to {most} px, or 0. Nothing was done"
            raise typer.BadParameter(msg)
        return value

    return check


def seconds(least: float, most: float) -> Callable[[float], float]:
    """A check of a time in seconds."""

    def check(value: float) -> float:
        if not (math.isfinite(value) and least <= value <= most):
            msg = f"{value:g} is not a time of {least:g} to {most:g} s. Nothing was done"
            raise typer.BadParameter(msg)
        return value

    return check
