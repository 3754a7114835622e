"""Method of a run's segmenter. Pure."""

from dataclasses import dataclass

from siad.contracts.manifest import Manifest
from siad.contracts.methods import CORRECTABLE, DEFAULT_SEGMENTER, RESIDUAL, UNET


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodChoice:
    """Method of a segmenter, and why another was asked for."""

    method: str
    note: str = ""  # empty where it is


def choose_method(asked: str, teacher: Manifest) -> MethodChoice:
    """Choose the method that a line's segmenter is trained by.

    Args:
        asked: the line's setting; empty for the default.
        teacher: in service.
    """
    wanted = asked or DEFAULT_SEGMENTER
    if wanted == RESIDUAL and teacher.method not in CORRECTABLE:
        note = (
            f"the map of a {teacher.method} teacher can't be corrected, so a {UNET} was trained instead; for a "
            f"{RESIDUAL} fit another teacher: siad line put LINE --method {CORRECTABLE[0]}"
        )
        return MethodChoice(method=UNET, note=note)
    return MethodChoice(method=wanted)
