"""Teachers by name: one function fits any of them. A method's module is imported when it is first asked for."""

import importlib
from collections.abc import Sequence

from siad.core.images import Image
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
) -> Bundle:
    """Fit a teacher of a method at its default settings; the arguments are those of ``fitting.gather``.

    Raises:
        ValueError: an unknown method, or normals that it can't be fitted on.
    """
    module = importlib.import_module(METHODS[require_teacher(method)])
    bundle: Bundle = module.fit(
        images, line=line, product=product, normals=normals, false_reject_budget=false_reject_budget
    )
    return bundle
