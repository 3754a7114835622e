"""What a store does that refuses, or goes without a word."""

import time
from collections.abc import Iterator, Mapping

import pytest

from siad.core.errors import MissingError, TransientError
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.blobs.open import open_blobs
from siad.runtime.blobs.s3 import S3Blobs
from siad.runtime.weed import WeedNode
from tests.fixtures.store import settings_of


def test_memory_that_is_down_says_so_and_forgets_nothing() -> None:
    blobs = MemoryBlobs()
    blobs.put("k", b"x")
    blobs.down = True
    for call in (lambda: blobs.get("k"), lambda: blobs.head("k"), lambda: blobs.put("k", b"y"), blobs.probe):
        with pytest.raises(TransientError, match="is down"):
            call()
    blobs.down = False
    assert blobs.get("k").data == b"x"


@pytest.fixture
def own_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WeedNode]:
    """A node that a test may kill."""
    node = WeedNode(tmp_path_factory.mktemp("weed-own"))
    node.start()
    yield node
    node.stop()


def test_a_store_killed_and_back_has_all_that_it_acknowledged(own_node: WeedNode) -> None:
    blobs = S3Blobs(settings_of(own_node.environment("plant")))
    blobs.ensure_bucket()
    for n in range(50):
        blobs.put(f"k/{n}", str(n).encode())
    large = b"x" * (9 * 2**20)
    blobs.put("large", large)
    own_node.kill()
    with pytest.raises(TransientError, match="is away"):
        blobs.put("k/50", b"lost")
    with pytest.raises(TransientError, match="is away"):
        blobs.probe()
    own_node.start()
    wait_until_it_goes_on(blobs)
    assert [blobs.get(f"k/{n}").data for n in range(50)] == [str(n).encode() for n in range(50)]
    assert blobs.get("large").data == large
    blobs.put("k/50", b"again")


def wait_until_it_goes_on(blobs: S3Blobs) -> None:
    """It listens before it has found its volumes again, and answers 500 until then."""
    end_s = time.monotonic() + 30
    while True:
        try:
            blobs.get("k/0")
        except TransientError:
            assert time.monotonic() < end_s
            time.sleep(0.1)
        else:
            return


def test_wrong_keys_are_refused_with_what_to_check(store_env: Mapping[str, str], s3_blobs: S3Blobs) -> None:
    s3_blobs.put("k", b"x")
    stranger = S3Blobs(settings_of({**store_env, "SIAD_STORE_SECRET_KEY": "wrong"}))
    for call in (lambda: stranger.get("k"), lambda: stranger.put("k", b"y"), lambda: list(stranger.list("k"))):
        with pytest.raises(PermissionError, match="check SIAD_STORE_ACCESS_KEY"):
            call()
    assert s3_blobs.get("k").data == b"x"


def test_a_missing_bucket_is_made_only_where_that_is_allowed(store_env: Mapping[str, str]) -> None:
    with pytest.raises(MissingError, match="SIAD_STORE_CREATE_BUCKET"):
        open_blobs(settings_of({**store_env, "SIAD_STORE_CREATE_BUCKET": "false"}))
    open_blobs(settings_of(store_env)).put("k", b"x")
