"""Modules of the methods, by the method's name in a manifest.

A teacher's module has ``fit`` and ``load``, the segmenter's has ``load``; see ``siad.models.teachers.bundling``. A
module is imported when its method is first used.
"""

import importlib
from collections.abc import Mapping
from types import ModuleType
from typing import Final

METHODS: Final[Mapping[str, str]] = {
    "feature-memory": "siad.models.teachers.feature_memory",
    "student-teacher": "siad.models.teachers.student_teacher",
    "memory-autoencoder": "siad.models.teachers.memory_autoencoder",
    "ensemble": "siad.models.teachers.ensemble",
    "fast": "siad.models.fast",
    "residual": "siad.models.residual",
    "unet": "siad.models.segmenter",
}


def import_method(method: str) -> ModuleType:
    """Import the module of a method; KeyError for an unknown one."""
    return importlib.import_module(METHODS[method])
