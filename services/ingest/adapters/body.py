"""Reader of an upload's body: an image, or a form around it.

It never reads more bytes than allowed.
"""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Final

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from services.ingest.domain.refusals import RefusalReason, RequestRefusedError

FORM_BYTES_MAX: Final = 65_536  # what a form may add to its image
FIELDS_MAX: Final = 8
FORM: Final = "multipart/form-data"


@dataclass(frozen=True, slots=True)
class UploadBody:
    """What came in."""

    data: bytes
    fields: dict[str, str] = field(default_factory=dict)  # of a form, beside the image


class _InMemoryParser(MultiPartParser):
    spool_max_size = 2**40  # never to a file: the bound is ours, and a pod's disk may be read-only


def declared_bytes(request: Request, *, bytes_max: int) -> int:
    """Length of the body: as declared, otherwise the allowed maximum.

    Raises:
        RefusedError: not-an-image by its media type, or too-large; nothing was read.
    """
    media_type = _media_type(request)
    if media_type and not media_type.startswith("image/") and media_type not in ("application/octet-stream", FORM):
        detail = (
            f"Content-Type {media_type!r} is no image; nothing was stored. Send the file itself as image/png, "
            f"image/jpeg, ... or application/octet-stream, or a {FORM} with the file in its field 'image'"
        )
        raise RequestRefusedError(RefusalReason.UNSUPPORTED_MEDIA_TYPE, detail)
    declared = request.headers.get("content-length", "")
    if not declared.isdecimal():
        return bytes_max
    if int(declared) > bytes_max + (FORM_BYTES_MAX if media_type == FORM else 0):
        raise _too_large(int(declared), bytes_max)
    return int(declared)


async def read_body(request: Request, *, bytes_max: int, timeout_s: float) -> UploadBody:
    """Read an upload whole.

    Raises:
        RefusedError: too-large, too-slow, cut-off, invalid-form or no-image; nothing was stored.
    """
    try:
        async with asyncio.timeout(timeout_s):
            if _media_type(request) == FORM:
                return await _read_form(request, bytes_max)
            return UploadBody(b"".join([chunk async for chunk in _bounded(request, bytes_max, bytes_max)]))
    except TimeoutError as error:
        detail = f"the body did not come in within {timeout_s:g} s; nothing was stored. Send it again, faster"
        raise RequestRefusedError(RefusalReason.TOO_SLOW, detail) from error
    except ClientDisconnect as error:
        raise RequestRefusedError(
            RefusalReason.CUT_OFF, "the connection ended within the body; nothing was stored"
        ) from error


async def _read_form(request: Request, bytes_max: int) -> UploadBody:
    stream = _bounded(request, bytes_max + FORM_BYTES_MAX, bytes_max)
    parser = _InMemoryParser(request.headers, stream, max_files=1, max_fields=FIELDS_MAX, max_part_size=FORM_BYTES_MAX)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        detail = f"the form can't be read: {error.message} Nothing was stored. Send one file and a few short fields"
        raise RequestRefusedError(RefusalReason.INVALID_FORM, detail) from error
    try:
        image = form.get("image")
        if not isinstance(image, UploadFile):
            found = ", ".join(repr(name) for name in form) or "nothing"
            detail = f"the form holds {found}; nothing was stored. Put the file whole into a field 'image', as a file"
            raise RequestRefusedError(RefusalReason.NO_IMAGE, detail)
        if (image.size or 0) > bytes_max:
            raise _too_large(image.size, bytes_max)
        fields = {name: value for name, value in form.multi_items() if isinstance(value, str)}
        return UploadBody(await image.read(), fields)
    finally:
        await form.close()


async def _bounded(request: Request, total_max: int, bytes_max: int) -> AsyncGenerator[bytes, None]:
    total = 0
    async for chunk in request.stream():
        total += len(chunk)
        if total > total_max:
            raise _too_large(total, bytes_max)
        yield chunk


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _too_large(found: int | None, bytes_max: int) -> RequestRefusedError:
    detail = (
        f"an upload of {found} bytes (so far); at most {bytes_max} are taken; nothing was stored. Send a smaller image"
    )
    return RequestRefusedError(RefusalReason.TOO_LARGE, detail)
