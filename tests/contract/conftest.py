"""Every blob store adapter, for the suites that need one."""

from collections.abc import Iterator

import pytest

from siad.apps.local.weed import WeedNode
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.blobs.port import Blobs
from siad.runtime.blobs.s3 import S3Blobs
from tests.fixtures.store import settings_of


@pytest.fixture(scope="session")
def shared_bucket(weed_node: WeedNode) -> S3Blobs:
    """One bucket for all tests that leave no writer running; a new one takes 0.25 s with its first object."""
    blobs = S3Blobs(settings_of(weed_node.environment("contract")))
    blobs.ensure_bucket()
    return blobs


@pytest.fixture(params=["memory", "s3"])
def blobs(request: pytest.FixtureRequest) -> Iterator[Blobs]:
    """An empty bucket."""
    if request.param == "memory":
        yield MemoryBlobs()
        return
    shared: S3Blobs = request.getfixturevalue("shared_bucket")
    assert list(shared.list("")) == []
    yield shared
    keys = [info.key for info in shared.list("")]
    for begin in range(0, len(keys), 1000):  # S3 takes no more at once
        objects = [{"Key": key} for key in keys[begin : begin + 1000]]
        shared._s3.delete_objects(Bucket="contract", Delete={"Objects": objects, "Quiet": True})


@pytest.fixture(params=["memory", "s3"])
def denied_blobs(request: pytest.FixtureRequest) -> Blobs:
    """A bucket whose store denies access."""
    if request.param == "memory":
        return MemoryBlobs(denied=True)
    node: WeedNode = request.getfixturevalue("weed_node")
    request.getfixturevalue("shared_bucket")
    return S3Blobs(settings_of({**node.environment("contract"), "SIAD_STORE_SECRET_KEY": "wrong"}))
