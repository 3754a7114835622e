"""What all unit tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.in_memory import folder_in_memory


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Pytest's own, in memory."""
    with folder_in_memory() as folder:
        yield folder
