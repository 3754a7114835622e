"""Every store that there is, for the suites that need one."""

import pytest

from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.blobs.port import Blobs


@pytest.fixture(params=["memory", "s3"])
def blobs(request: pytest.FixtureRequest) -> Blobs:
    """An empty bucket."""
    if request.param == "memory":
        return MemoryBlobs()
    s3_blobs: Blobs = request.getfixturevalue("s3_blobs")
    return s3_blobs
