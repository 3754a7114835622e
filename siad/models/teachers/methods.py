"""Teachers by name: one function fits any of them. A method's module is imported when it is first asked for."""

import importlib
import inspect
from collections.abc import Sequence
from dataclasses import replace

from siad.core.fit_settings import BUDGET, INPUT_PX
from siad.core.images import Image
from siad.core.interest import Interest
from siad.core.methods import DEFAULT, require_teacher
from siad.models.bundle import METHODS, Bundle


def fit_teacher(
    images: Sequence[Image],
    *,
    line: str,
    product: str,
    normals: Sequence[str],
    false_reject_budget: float,
    method: str = DEFAULT,
    region: tuple[float, ...] = (),
    input_px: int = 0,
) -> Bundle:
    """Fit a teacher of a method; what the line did not ask for is at the method's default.

    Args:
        images: decoded, uint8 or uint16 [H, W, C], of any sizes.
        line: slug.
        product: slug.
        normals: the capture id of each image.
        false_reject_budget: share of good parts that may be rejected, in (0, 1).
        method: one of ``siad.core.methods.TEACHERS``.
        region: what of the view counts, as ``siad.core.interest`` has it; empty for all of it.
        input_px: side of the square with the area that images are shown at; 0 for the method's own.

    Raises:
        ValueError: an unknown method, a method that has its input size fixed, or normals that it can't be fitted on.
    """
    fit = importlib.import_module(METHODS[require_teacher(method)]).fit
    asked = {"input_px": input_px} if input_px else {}
    if asked and "input_px" not in inspect.signature(fit).parameters:
        msg = f"input_px {input_px} for a {method} teacher, which has an input size of its own; leave input_px at 0"
        raise ValueError(msg)
    interest = Interest(region)
    bundle: Bundle = fit(
        [interest.cut(image_HWC) for image_HWC in images],
        line=line,
        product=product,
        normals=normals,
        false_reject_budget=false_reject_budget,
        **asked,
    )
    wishes = [(BUDGET, false_reject_budget), *((INPUT_PX, float(value)) for value in asked.values())]
    metrics = tuple(sorted((*bundle.manifest.metrics, *wishes)))
    return Bundle(replace(bundle.manifest, region=region, metrics=metrics), bundle.parts)
