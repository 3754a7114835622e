"""Environment of a test without settings of the machine that runs it."""

import os

import pytest


def without_siad(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unset every setting."""
    for name in list(os.environ):
        if name.upper().startswith("SIAD_"):
            monkeypatch.delenv(name)
