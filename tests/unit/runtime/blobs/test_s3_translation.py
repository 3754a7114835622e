"""Every error that boto3 and what lies under it can raise becomes one of the port's own."""

import functools
import http.client
import inspect
import ssl
import string
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import botocore.exceptions
import pytest
import urllib3.exceptions
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from siad.contracts import errors
from siad.contracts.errors import ConflictError, CorruptError, DeniedError, MissingError, TransientError
from siad.runtime.blobs.port import IF_ABSENT, PutCondition
from siad.runtime.blobs.s3 import S3Blobs
from siad.runtime.blobs.settings import StoreSettings

PORT_ERRORS = (ConflictError, CorruptError, DeniedError, MissingError, TransientError)
KEY = "images/line-1/x.png"
LARGE = bytes(8 * 2**20 + 1)


class FailingClient:
    """A boto3 client whose every request raises one error."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return self._fail

    def get_paginator(self, _: str) -> "FailingClient":
        return self

    def _fail(self, **_: object) -> Any:
        raise self._error


@functools.cache
def _blobs() -> S3Blobs:
    return S3Blobs(StoreSettings.of({"SIAD_STORE_BUCKET": "plant", "SIAD_STORE_ENDPOINT_URL": "http://store:9000"}))


def blobs_on(client: object) -> S3Blobs:
    blobs = _blobs()
    blobs._s3 = client
    return blobs


CALLS: dict[str, Callable[[S3Blobs], object]] = {
    "read": lambda blobs: blobs.get(KEY),
    "describe": lambda blobs: blobs.head(KEY),
    "write": lambda blobs: blobs.put(KEY, b"x"),
    "write-if-match": lambda blobs: blobs.put(KEY, b"x", condition=PutCondition("e")),
    "write-if-absent": lambda blobs: blobs.put(KEY, b"x", condition=IF_ABSENT, tags={"keep": "normal"}),
    "write-in-parts": lambda blobs: blobs.put(KEY, LARGE),
    "list": lambda blobs: list(blobs.list("images/")),
    "delete": lambda blobs: blobs.delete(KEY),
    "reach": lambda blobs: blobs.probe(),
    "ensure": lambda blobs: blobs.ensure_bucket(),
}


def example_of(kind: type[Exception]) -> Exception:
    """Build one error of a class of botocore, whose texts are templates."""
    names = [name for _, name, _, _ in string.Formatter().parse(getattr(kind, "fmt", "")) if name]
    values: dict[str, Any] = dict.fromkeys(names, "x") | {"error": "x"}
    if issubclass(kind, ClientError):
        return kind({"Error": {"Code": "SlowDown"}}, "GetObject")
    if kind is botocore.exceptions.WaiterError:
        return kind("waiter", "reason", {})
    return kind(**values)


def botocore_errors() -> list[Exception]:
    kinds = [
        kind
        for _, kind in inspect.getmembers(botocore.exceptions, inspect.isclass)
        if issubclass(kind, (BotoCoreError, ClientError))
    ]
    return [example_of(kind) for kind in kinds]


def below_botocore() -> list[Exception]:
    pool: Any = None
    return [
        ResponseParserError("no XML"),
        urllib3.exceptions.ProtocolError("connection broken"),
        urllib3.exceptions.ReadTimeoutError(pool, "http://store", "read timed out"),
        urllib3.exceptions.IncompleteRead(3, 7),
        urllib3.exceptions.DecodeError("gzip"),
        http.client.RemoteDisconnected("closed"),
        http.client.BadStatusLine("x"),
        ConnectionResetError("reset"),
        BrokenPipeError("pipe"),
        TimeoutError("late"),
        ssl.SSLError("handshake"),
        OSError(24, "Too many open files"),
        KeyError("ETag"),
    ]


@pytest.mark.parametrize("error", [*botocore_errors(), *below_botocore()], ids=lambda error: type(error).__name__)
def test_every_client_error_becomes_one_of_the_ports(error: Exception) -> None:
    for call in CALLS.values():
        with pytest.raises(PORT_ERRORS, match=r"could not [a-z]+ s3://plant/") as raised:
            call(blobs_on(FailingClient(error)))
        assert type(raised.value).__module__ == errors.__name__
        assert raised.value.__cause__ is error


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_every_status_becomes_one_of_the_ports(call: Callable[[S3Blobs], object]) -> None:
    for status in (0, 200, *range(300, 600)):
        answer = {"Error": {"Code": str(status), "Message": "m"}, "ResponseMetadata": {"HTTPStatusCode": status}}
        client = FailingClient(ClientError(answer, "Operation"))  # type: ignore[arg-type]
        with pytest.raises(PORT_ERRORS) if status != 404 else suppress(MissingError):
            call(blobs_on(client))


@pytest.mark.parametrize(
    ("error", "expected", "text"),
    [
        (botocore.exceptions.NoCredentialsError(), DeniedError, r"set SIAD_STORE_ACCESS_KEY"),
        (botocore.exceptions.ProfileNotFound(profile="p"), DeniedError, r"set SIAD_STORE_ACCESS_KEY"),
        (botocore.exceptions.NoRegionError(), DeniedError, r"check the settings SIAD_STORE_\*"),
        (botocore.exceptions.FlexibleChecksumError(error_msg="crc32"), CorruptError, r"bytes were refused"),
        (
            botocore.exceptions.EndpointConnectionError(endpoint_url="e"),
            TransientError,
            r"at http://store:9000 is unav",
        ),
        (botocore.exceptions.MetadataRetrievalError(error_msg="m"), TransientError, r"is unavailable"),
        (ConnectionResetError("reset"), TransientError, r"is unavailable, could not read s3://plant/images/.*: reset"),
        (KeyError("ETag"), TransientError, r"not one of S3, it lacks 'ETag'"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_the_text_says_what_to_change(error: Exception, expected: type[Exception], text: str) -> None:
    with pytest.raises(expected, match=text) as raised:
        blobs_on(FailingClient(error)).get(KEY)
    assert type(raised.value) is expected


def test_a_bug_is_not_taken_for_a_failure_of_the_store() -> None:
    with pytest.raises(AttributeError):
        blobs_on(FailingClient(AttributeError("typo"))).get(KEY)


class HtmlClient(FailingClient):
    """A proxy's page in place of the store: answers of success without what S3 says."""

    def __init__(self) -> None:
        super().__init__(AssertionError())

    def _fail(self, **_: object) -> Any:
        return {}


@pytest.mark.parametrize("name", ["read", "describe", "write", "write-in-parts"])
def test_an_answer_that_is_not_of_s3_is_transient(name: str) -> None:
    with pytest.raises(TransientError, match="not one of S3"):
        CALLS[name](blobs_on(HtmlClient()))
