"""Which methods a teacher may be of. Names alone, so that ingest can refuse an unknown one without torch. Pure.

What each of them is stands in its module: ``siad.models.bundle.METHODS`` says which, ``docs/teachers.md`` what for.
"""

from typing import Final

FEATURE_MEMORY: Final = "feature-memory"
STUDENT_TEACHER: Final = "student-teacher"
AUTOENCODER: Final = "autoencoder"
MEMORY_AUTOENCODER: Final = "memory-autoencoder"
TEMPLATE: Final = "template"
DRAEM: Final = "draem"
GAN_INVERSION: Final = "gan-inversion"
ENSEMBLE: Final = "ensemble"
TEACHERS: Final = (
    FEATURE_MEMORY,
    STUDENT_TEACHER,
    AUTOENCODER,
    MEMORY_AUTOENCODER,
    TEMPLATE,
    DRAEM,
    GAN_INVERSION,
    ENSEMBLE,
)
DEFAULT: Final = FEATURE_MEMORY
AUTO: Final = "auto"  # no method: whichever probes of the line's own normals speak for
ASKABLE: Final = (*TEACHERS, AUTO)  # by a line


def require_askable(method: str) -> str:
    """Give back what a line may ask for.

    Raises:
        ValueError: there is no such method.
    """
    if method not in ASKABLE:
        msg = f"no method {method!r}; a line may ask for {', '.join(ASKABLE)}"
        raise ValueError(msg)
    return method


def require_teacher(method: str) -> str:
    """Give back a known method's name.

    Raises:
        ValueError: there is no such method.
    """
    if method not in TEACHERS:
        msg = f"no method {method!r}; teachers are of {', '.join(TEACHERS)}"
        raise ValueError(msg)
    return method
