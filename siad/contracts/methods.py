"""Names of the methods of teachers and segmenters.

Ingest checks them without importing torch. ``siad.models.method_modules`` names the module of each, ``docs/models``
describes and compares them.
"""

from collections.abc import Sequence
from typing import Final

FEATURE_MEMORY: Final = "feature-memory"
STUDENT_TEACHER: Final = "student-teacher"
MEMORY_AUTOENCODER: Final = "memory-autoencoder"
ENSEMBLE: Final = "ensemble"
TEACHERS: Final = (FEATURE_MEMORY, STUDENT_TEACHER, MEMORY_AUTOENCODER, ENSEMBLE)
LEFT_ONE_OUT: Final = frozenset({FEATURE_MEMORY})  # score each normal with itself left out, and serve with all
REMOVED: Final = ("autoencoder", "draem", "gan-inversion", "template")  # of earlier versions, whose lines may name them
DEFAULT: Final = FEATURE_MEMORY
AUTO: Final = "auto"  # no method: the one that ranks first on synthetic defects on the line's own normals
ASKABLE: Final = (*TEACHERS, AUTO)  # values of a line's setting

RESIDUAL: Final = "residual"  # the teacher with a learnt correction
UNET: Final = "unet"  # a network of its own, trained from the teacher's masks alone
FAST: Final = "fast"  # a small form of what a residual, or its teacher, finds
SEGMENTERS: Final = (RESIDUAL, FAST, UNET)
CORRECTABLE: Final = (FEATURE_MEMORY,)  # teachers whose map a residual can correct, and a fast segmenter learn
DEFAULT_SEGMENTER: Final = RESIDUAL


def require_segmenter(method: str) -> str:
    """Return the name of a segmenter's method.

    Raises:
        ValueError: there is no such method.
    """
    if method not in SEGMENTERS:
        msg = f"no segmenter {method!r}; choose {', '.join(SEGMENTERS)}"
        raise ValueError(msg)
    return method


def require_askable(method: str) -> str:
    """Return a method that a line may ask for.

    Raises:
        ValueError: there is no such method, or no longer.
    """
    return _require(method, ASKABLE)


def require_teacher(method: str) -> str:
    """Return the name of a teacher's method.

    Raises:
        ValueError: there is no such method, or no longer.
    """
    return _require(method, TEACHERS)


def _require(method: str, known: Sequence[str]) -> str:
    if method in known:
        return method
    if method in REMOVED:
        msg = f"method {method!r} was removed, since it was the best on no image set; choose {', '.join(known)}"
        raise ValueError(msg)
    msg = f"no method {method!r}; choose {', '.join(known)}"
    raise ValueError(msg)
