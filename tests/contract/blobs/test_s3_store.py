"""What is true of S3 alone: keys, buckets, tags, and answers that get lost."""

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from functools import partial
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ReadTimeoutError

from siad.contracts.errors import ConflictError, DeniedError, MissingError, TransientError
from siad.contracts.keys import CONDITIONAL_PUT_KEY
from siad.runtime.blobs.arrow import pyarrow_filesystem
from siad.runtime.blobs.open import open_blobs
from siad.runtime.blobs.port import PutCondition
from siad.runtime.blobs.s3 import S3Blobs
from siad.runtime.blobs.settings import StoreSettings
from tests.fixtures.store import settings_of

LARGE = b"x" * (8 * 2**20 + 1)  # goes up in parts


def test_wrong_keys_are_refused_with_what_to_check(store_env: Mapping[str, str], s3_blobs: S3Blobs) -> None:
    s3_blobs.put("k", b"x")
    for wrong in ("SIAD_STORE_SECRET_KEY", "SIAD_STORE_ACCESS_KEY"):
        refused_everything(S3Blobs(settings_of({**store_env, wrong: "wrong"})))
    assert s3_blobs.get("k").data == b"x"


def refused_everything(stranger: S3Blobs) -> None:
    for call in (
        lambda: stranger.get("k"),
        lambda: stranger.head("k"),
        lambda: stranger.put("k", b"y"),
        lambda: stranger.put("k", LARGE),
        lambda: list(stranger.list("k")),
        lambda: stranger.delete("k"),
        stranger.probe,
    ):
        with pytest.raises(DeniedError, match=r"could not .* s3://test-.*check SIAD_STORE_ACCESS_KEY"):
            call()


def test_a_missing_bucket_is_made_only_where_that_is_allowed(store_env: Mapping[str, str]) -> None:
    with pytest.raises(MissingError, match="SIAD_STORE_CREATE_BUCKET"):
        open_blobs(settings_of({**store_env, "SIAD_STORE_CREATE_BUCKET": "false"}))
    for _ in range(2):  # what is there is used
        open_blobs(settings_of(store_env)).put("k", b"x")
    assert open_blobs(settings_of({**store_env, "SIAD_STORE_CREATE_BUCKET": "false"})).head("k") is not None


def test_opening_leaves_nothing_behind_but_the_probe(store_settings: StoreSettings) -> None:
    assert [info.key for info in open_blobs(store_settings).list("")] == [CONDITIONAL_PUT_KEY]


def test_a_put_does_not_make_a_bucket_of_a_spelling_error(store_env: Mapping[str, str], s3_blobs: S3Blobs) -> None:
    misspelt = S3Blobs(settings_of({**store_env, "SIAD_STORE_BUCKET": "tset"}))
    with pytest.raises(MissingError, match="NoSuchBucket"):
        misspelt.put("k", b"x")
    with pytest.raises(MissingError):
        misspelt.probe()


@pytest.mark.parametrize("data", [b"small", LARGE], ids=["whole", "in-parts"])
def test_type_and_tags_lie_beside_the_bytes(s3_blobs: S3Blobs, store_env: Mapping[str, str], data: bytes) -> None:
    s3_blobs.put("k", data, content_type="image/png", tags={"keep": "normal", "why": "a b&c"})
    where = {"Bucket": store_env["SIAD_STORE_BUCKET"], "Key": "k"}
    assert s3_blobs._s3.head_object(**where)["ContentType"] == "image/png"
    tags = s3_blobs._s3.get_object_tagging(**where)["TagSet"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == {"keep": "normal", "why": "a b&c"}


def test_an_upload_that_failed_leaves_no_parts_behind(s3_blobs: S3Blobs, store_env: Mapping[str, str]) -> None:
    uploads = partial(s3_blobs._s3.list_multipart_uploads, Bucket=store_env["SIAD_STORE_BUCKET"])

    def fail(**_: object) -> None:
        assert len(uploads()["Uploads"]) == 1
        raise ReadTimeoutError(endpoint_url="s3")

    s3_blobs._s3.complete_multipart_upload = fail
    with pytest.raises(TransientError, match="is unavailable"):
        s3_blobs.put("k", LARGE)
    assert "Uploads" not in uploads()
    assert s3_blobs.head("k") is None


def test_arrow_and_boto_see_the_same_objects(store_settings: StoreSettings, s3_blobs: S3Blobs) -> None:
    filesystem = pyarrow_filesystem(store_settings)
    with filesystem.open_output_stream(f"{store_settings.bucket}/checkpoints/run-1/model") as out:
        out.write(b"weights")
    assert s3_blobs.get("checkpoints/run-1/model").data == b"weights"
    s3_blobs.put("checkpoints/run-1/spec", b"what to do")
    with filesystem.open_input_stream(f"{store_settings.bucket}/checkpoints/run-1/spec") as found:
        assert found.read() == b"what to do"


class LossyRelay:
    """Stands before a store and hands everything on, but for as many answers of success as it shall lose."""

    def __init__(self, port: int) -> None:
        self.answers_to_lose = 0
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                asking, _ = self._listener.accept()
            except OSError:
                return
            answering = socket.create_connection(("127.0.0.1", self._port))
            threading.Thread(target=self._hand_on, args=(asking, answering), daemon=True).start()
            threading.Thread(target=self._hand_back, args=(asking, answering), daemon=True).start()

    def _hand_on(self, asking: socket.socket, answering: socket.socket) -> None:
        with closing(answering), suppress(OSError):  # either may hang up
            while data := _received(asking):
                answering.sendall(data)
            answering.shutdown(socket.SHUT_RDWR)

    def _hand_back(self, asking: socket.socket, answering: socket.socket) -> None:
        with closing(asking), suppress(OSError):
            while data := _received(answering):
                if data.startswith(b"HTTP/1.1 200") and self.answers_to_lose > 0:
                    self.answers_to_lose -= 1
                    break
                asking.sendall(data)
            asking.shutdown(socket.SHUT_RDWR)


def _received(peer: socket.socket) -> bytes:
    try:
        return peer.recv(65536)
    except OSError:
        return b""


@pytest.fixture
def relay(store_env: Mapping[str, str]) -> Iterator[LossyRelay]:
    port = urlsplit(store_env["SIAD_STORE_ENDPOINT_URL"]).port
    assert port is not None
    relay = LossyRelay(port)
    yield relay
    relay.close()


@pytest.mark.parametrize("condition", ["absent", "match"])
@pytest.mark.parametrize("data", [b"mine", LARGE], ids=["small", "large"])
def test_a_put_whose_acknowledgement_was_lost_is_not_a_lost_race(
    store_env: Mapping[str, str], s3_blobs: S3Blobs, relay: LossyRelay, data: bytes, condition: str
) -> None:
    seen = s3_blobs.put("k", b"before") if condition == "match" else None
    relayed = S3Blobs(settings_of({**store_env, "SIAD_STORE_ENDPOINT_URL": f"http://127.0.0.1:{relay.port}"}))
    relay.answers_to_lose = 1
    etag = relayed.put("k", data, condition=PutCondition(seen))
    assert relay.answers_to_lose == 0
    blob = s3_blobs.get("k")
    assert (blob.data, blob.etag) == (data, etag)
    with pytest.raises(ConflictError):  # sent once more by its caller it is an ordinary conflict
        relayed.put("k", data, condition=PutCondition(seen))
