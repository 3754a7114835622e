"""Method of a run's segmenter, and what it builds on. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from services.trainer.domain.size import SizePolicy
from siad.contracts.manifest import Manifest
from siad.contracts.methods import CORRECTABLE, DEFAULT_SEGMENTER, FAST, RESIDUAL, UNET
from siad.contracts.pointer import Pointer
from siad.contracts.training_runs import RunState


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
    if wanted in (RESIDUAL, FAST) and teacher.method not in CORRECTABLE:
        built = "corrected" if wanted == RESIDUAL else "learned by a small memory"
        note = (
            f"the map of a {teacher.method} teacher can't be {built}, so a {UNET} was trained instead; for a "
            f"{wanted} fit another teacher: siad line put LINE --method {CORRECTABLE[0]}"
        )
        return MethodChoice(method=UNET, note=note)
    return MethodChoice(method=wanted)


def input_px_of(method: str, teacher_px: int, sizes: SizePolicy) -> int:
    """Choose the input side of a segmenter."""
    if method == RESIDUAL:
        return teacher_px
    return sizes.fast_px(teacher_px) if method == FAST else sizes.side_px(teacher_px)


def newest_residual(pointer: Pointer | None, runs: Sequence[RunState], tainted: Collection[str]) -> str:
    """Find the weights whose map a fast segmenter learns.

    Of the segmenters in service and before it, the newest residual that an operator took out of service neither by a
    rollback nor by a taint. Empty where there is none, or where the line has gone back to its teacher.

    Args:
        pointer: of the line's segmenters.
        runs: of the line and product.
        tainted: weights in quarantine.
    """
    if pointer is None or not pointer.in_service:
        return ""
    residuals = {run.candidate for run in runs if run.spec.method == RESIDUAL}
    barred = {*pointer.rejected, *tainted}
    served = (pointer.weights, *pointer.history)
    return next((weights for weights in served if weights in residuals and weights not in barred), "")
