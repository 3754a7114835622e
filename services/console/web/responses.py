"""Responses with bytes: current copies, and ranges of them."""

import re
from collections.abc import Mapping
from typing import Final

from fastapi import Response
from pydantic import BaseModel, Field

from services.console.web.files import PageFile
from siad.runtime.problems import Problem

IMMUTABLE: Final = "private, max-age=86400, immutable"  # a day, so that no erased picture stays for longer
_RANGE: Final = re.compile(r"\s*bytes\s*=\s*(\d{0,15})\s*-\s*(\d{0,15})\s*")


class Conditions(BaseModel):
    """Headers that say which bytes a client lacks."""

    if_none_match: str | None = Field(default=None, description="ETags of the copies that the client has")
    range: str | None = Field(default=None, description="One range of bytes: bytes=0-1023; several give the whole")
    if_range: str | None = Field(default=None, description="Only of the copy with this ETag; otherwise the whole")


def respond(found: PageFile, asked: Conditions, headers: Mapping[str, str]) -> Response:
    """Send a file, or what the client lacks of it.

    Raises:
        Problem: 416, the range begins behind the end.
    """
    headers = {**headers, "ETag": found.etag, "Accept-Ranges": "bytes"}
    if asked.if_none_match is not None and _names(asked.if_none_match, found.etag):
        return Response(status_code=304, headers=headers)
    size = len(found.data)
    part = None
    if asked.range is not None and asked.if_range in (None, found.etag):
        part = _part(asked.range, size)
    if part is None:
        return Response(found.data, headers=headers, media_type=found.media_type)
    headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
    return Response(found.data[part], 206, headers=headers, media_type=found.media_type)


def _names(etags: str, etag: str) -> bool:
    """Whether a list of ETags has this one, weak or not."""
    return any(one.strip().removeprefix("W/") in ("*", etag) for one in etags.split(","))


def _part(header: str, size: int) -> slice | None:
    """Read a range; None where all is to be sent."""
    match = _RANGE.fullmatch(header)
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:  # the last bytes
        start, stop = max(0, size - int(match[2])), size
    else:
        start, stop = int(match[1]), min(size, int(match[2]) + 1) if match[2] else size
        if match[2] and int(match[2]) < start:
            return None
    if start >= size:
        detail = f"range {header!r} begins behind the last of {size} bytes; nothing was sent. Ask for less"
        raise Problem(416, "range-not-satisfiable", detail)
    return slice(start, stop)
