"""Servers that tests share; each is started by the first test that wants it, on loopback and free ports."""

import gc
from collections.abc import Generator

import pytest

pytest_plugins = ["tests.fixtures.kafka", "tests.fixtures.ray", "tests.fixtures.store"]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported stays: to search torch and its kind for garbage, again and again, takes a second a process."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()
