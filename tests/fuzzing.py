"""Number of inputs that a property test draws: 500 in ``make test``, 20,000 in ``make bench``.

A test that is decorated by ``fuzzed`` has the marker ``fuzz``, by which ``make bench`` finds it.
"""

import os
from collections.abc import Callable
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, settings

INPUTS_VARIABLE: Final = "SIAD_FUZZ_INPUTS"
INPUTS: Final = int(os.environ.get(INPUTS_VARIABLE, "500"))


def fuzzed(test: Callable[..., Any]) -> Callable[..., Any]:
    """Run a property test on ``INPUTS`` inputs, always the same ones; decorates above ``given``."""
    bounded = settings(
        max_examples=INPUTS,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    timeout = pytest.mark.timeout(1200 if INPUTS > 500 else 120)
    marked: Callable[..., Any] = pytest.mark.fuzz(timeout(bounded(test)))
    return marked
