"""Number of inputs that a property test draws: 500 in ``make test``, 20,000 in ``make bench``.

``make bench`` finds a test by its marker ``fuzz``. ``fuzzed`` gives it; a test that needs a stage or a loop around all
inputs has the marker ``long_fuzz`` itself, and a function inside it ``bounded``.
"""

import os
from collections.abc import Callable
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, settings

INPUTS_VARIABLE: Final = "SIAD_FUZZ_INPUTS"
INPUTS: Final = int(os.environ.get(INPUTS_VARIABLE, "500"))


bounded = settings(
    max_examples=INPUTS,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def long_fuzz(test: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a test that draws ``INPUTS`` inputs, and give it the time."""
    marked: Callable[..., Any] = pytest.mark.fuzz(pytest.mark.timeout(1200 if INPUTS > 500 else 120)(test))
    return marked


def fuzzed(test: Callable[..., Any]) -> Callable[..., Any]:
    """Run a property test on ``INPUTS`` inputs, always the same ones; decorates above ``given``."""
    return long_fuzz(bounded(test))
