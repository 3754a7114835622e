"""Uploads over HTTP: bounds, time-outs and closed connections."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.requests import Request

from siad.runtime.uploads import UploadError, UploadFault, UploadLimits, declared_bytes, read_upload


async def stall() -> dict[str, Any]:
    await asyncio.sleep(3600)
    return {}


async def leave() -> dict[str, Any]:
    return {"type": "http.disconnect"}


def request_of(headers: dict[str, str], receive: Callable[[], Awaitable[dict[str, Any]]] = leave) -> Request:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "headers": raw}, receive)


@pytest.mark.parametrize("content_type", ["image/png", "multipart/form-data; boundary=x"])
@pytest.mark.parametrize(("receive", "why"), [(stall, UploadFault.TOO_SLOW), (leave, UploadFault.CUT_OFF)])
async def test_a_body_that_does_not_come_is_given_up(
    receive: Callable[[], Awaitable[dict[str, Any]]], why: UploadFault, content_type: str
) -> None:
    with pytest.raises(UploadError, match="nothing was stored") as refused:
        await read_upload(request_of({"content_type": content_type}, receive), UploadLimits(10, 0.01), known=())
    assert refused.value.fault is why


@pytest.mark.parametrize(
    ("headers", "size_bytes"),
    [
        ({"content_length": "7"}, 7),
        ({"content_length": "0"}, 0),
        ({}, 100),  # not declared: room for the most that may come
        ({"content_length": "100", "content_type": "image/png"}, 100),
        ({"content_length": "101", "content_type": "image/png"}, None),
        ({"content_length": "101", "content_type": "Multipart/Form-Data; boundary=x"}, 101),  # the form's own words
        ({"content_length": "70000", "content_type": "multipart/form-data; boundary=x"}, None),
    ],
)
def test_room_is_kept_for_what_was_declared(headers: dict[str, str], size_bytes: int | None) -> None:
    if size_bytes is not None:
        assert declared_bytes(request_of(headers), bytes_max=100) == size_bytes
        return
    with pytest.raises(UploadError) as refused:
        declared_bytes(request_of(headers), bytes_max=100)
    assert refused.value.fault is UploadFault.TOO_LARGE
