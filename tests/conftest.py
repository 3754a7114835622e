"""Servers that tests share; each is started by the first test that wants it, on loopback and free ports."""

import gc
import logging
from collections.abc import Generator, Iterator

import pytest
import structlog
from hypothesis import settings

settings.register_profile("siad", deadline=None)  # a busy machine is no fault of the code
settings.load_profile("siad")

pytest_plugins = [
    "tests.fixtures.browser",
    "tests.fixtures.cluster",
    "tests.fixtures.kafka",
    "tests.fixtures.kafka_secured",
    "tests.fixtures.postgres",
    "tests.fixtures.promtool",
    "tests.fixtures.ray",
    "tests.fixtures.store",
]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported stays: to search torch and its kind for garbage, again and again, takes a second a process."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()
        _let_torch_loggers_propagate()


def _let_torch_loggers_propagate() -> None:
    """Spare pytest from attaching its handlers to each of torch's forty loggers.

    It does so six times a test for every logger that does not propagate: a tenth of the unit suite's time.
    """
    for name, logger in logging.root.manager.loggerDict.items():
        if name.partition(".")[0] == "torch" and isinstance(logger, logging.Logger):
            logger.propagate = True


@pytest.fixture(autouse=True)
def _usual_logs() -> Iterator[None]:
    """Undo a command's log configuration, which hides events that later tests read."""
    yield
    structlog.reset_defaults()
