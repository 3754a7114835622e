"""Reader of an uploaded image: the bytes themselves, or a form.

Bytes, fields and time are bounded.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

FORM_BYTES_MAX: Final = 65_536  # what a form may add to its image
FIELDS_MAX: Final = 8
FORM: Final = "multipart/form-data"


class UploadFault(StrEnum):
    """Why an upload was refused; clients branch on it."""

    UNSUPPORTED_MEDIA_TYPE = "unsupported-media-type"
    TOO_LARGE = "too-large"
    TOO_SLOW = "too-slow"
    CUT_OFF = "cut-off"
    INVALID_FORM = "invalid-form"
    UNKNOWN_PARAMETER = "unknown-parameter"
    REPEATED_PARAMETER = "repeated-parameter"
    NO_IMAGE = "no-image"


STATUS_OF_UPLOAD: Final = {
    UploadFault.UNSUPPORTED_MEDIA_TYPE: 415,
    UploadFault.TOO_LARGE: 413,
    UploadFault.TOO_SLOW: 408,
    UploadFault.CUT_OFF: 400,
    UploadFault.INVALID_FORM: 422,
    UploadFault.UNKNOWN_PARAMETER: 422,
    UploadFault.REPEATED_PARAMETER: 422,
    UploadFault.NO_IMAGE: 422,
}


class UploadError(Exception):
    """A refused upload; the message says what to change."""

    def __init__(self, fault: UploadFault, detail: str) -> None:
        super().__init__(detail)
        self.fault = fault


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """Bounds of one upload."""

    bytes_max: int  # of the image
    timeout_s: float  # for the whole body; a stalled sender would occupy its slot for ever


@dataclass(frozen=True, slots=True)
class UploadBody:
    """The image, and its parameters from the address and the form."""

    data: bytes
    parameters: dict[str, str] = field(default_factory=dict)


class _InMemoryParser(MultiPartParser):
    spool_max_size = 2**40  # never to a file: uploads are bounded here, and the disk of a pod may be read-only

    def on_part_end(self) -> None:
        """Refuse a field of another encoding, which would be read as Latin-1."""
        part = self._current_part
        if part.file is None:
            try:
                part.data.decode(self._charset)
            except (UnicodeDecodeError, LookupError) as error:
                msg = f"Field {part.field_name!r} is not {self._charset}."
                raise MultiPartException(msg) from error
        super().on_part_end()


def describe_upload(parameters: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Describe an upload for OpenAPI: the bytes, or a form.

    Args:
        parameters: schemas by name, each a query parameter or a field of the form.
    """
    image = {"type": "string", "format": "binary"}
    form = {"type": "object", "required": ["image"], "properties": {"image": image, **parameters}}
    return {
        "parameters": [{"name": name, "in": "query", "schema": schema} for name, schema in parameters.items()],
        "requestBody": {
            "required": True,
            "content": {
                "image/*": {"schema": image},
                "application/octet-stream": {"schema": image},
                FORM: {"schema": form},
            },
        },
    }


def declared_bytes(request: Request, *, bytes_max: int) -> int:
    """Length of the body: as declared, otherwise ``bytes_max``. Nothing is read.

    Raises:
        UploadError: too-large.
    """
    declared = request.headers.get("content-length", "")
    if not declared.isdecimal():
        return bytes_max
    if int(declared) > bytes_max + (FORM_BYTES_MAX if _media_type(request) == FORM else 0):
        raise _too_large(int(declared), bytes_max)
    return int(declared)


def require_image_type(request: Request) -> None:
    """Refuse a declared media type that holds no image.

    An undeclared type is accepted.

    Raises:
        UploadError: unsupported-media-type.
    """
    media_type = _media_type(request)
    if media_type and not media_type.startswith("image/") and media_type not in ("application/octet-stream", FORM):
        detail = (
            f"Content-Type {media_type!r} is not an image; nothing was stored. Send the file itself as image/png, "
            f"image/jpeg, ... or application/octet-stream, or a {FORM} with the file in its field 'image'"
        )
        raise UploadError(UploadFault.UNSUPPORTED_MEDIA_TYPE, detail)


async def read_upload(request: Request, limits: UploadLimits, *, known: Sequence[str]) -> UploadBody:
    """Read an upload completely.

    Args:
        request: its body is the image, or a form that holds it.
        limits: of bytes and time.
        known: names of the parameters, each a query parameter or a field of the form.

    Raises:
        UploadError: too-large, too-slow, cut-off, invalid-form, no-image, unknown-parameter or repeated-parameter.
    """
    bytes_max = limits.bytes_max
    declared_bytes(request, bytes_max=bytes_max)
    try:
        async with asyncio.timeout(limits.timeout_s):
            if _media_type(request) == FORM:
                data, fields = await _read_form(request, bytes_max)
            else:
                data, fields = b"".join([chunk async for chunk in _bounded(request, bytes_max, bytes_max)]), []
    except TimeoutError as error:
        detail = f"the body was incomplete after {limits.timeout_s:g} s; nothing was stored. Send it again, faster"
        raise UploadError(UploadFault.TOO_SLOW, detail) from error
    except ClientDisconnect as error:
        detail = "the connection was closed within the body; nothing was stored. Send it again"
        raise UploadError(UploadFault.CUT_OFF, detail) from error
    return UploadBody(data, _single_values([*request.query_params.multi_items(), *fields], known))


def _single_values(pairs: Sequence[tuple[str, str]], known: Sequence[str]) -> dict[str, str]:
    """Values by name.

    A form may repeat what the address says, and not contradict it.
    """
    values: dict[str, str] = {}
    for name, value in pairs:
        if name not in known:
            detail = f"parameter {name!r} is unknown; nothing was stored. Known are {', '.join(known)}"
            raise UploadError(UploadFault.UNKNOWN_PARAMETER, detail)
        if values.setdefault(name, value) != value:
            detail = f"{name} is given as {values[name]!r} and as {value!r}; nothing was stored. Send one of them"
            raise UploadError(UploadFault.REPEATED_PARAMETER, detail)
    return values


async def _read_form(request: Request, bytes_max: int) -> tuple[bytes, list[tuple[str, str]]]:
    """The image of a form, and its other fields."""
    stream = _bounded(request, bytes_max + FORM_BYTES_MAX, bytes_max)
    parser = _InMemoryParser(request.headers, stream, max_files=1, max_fields=FIELDS_MAX, max_part_size=FORM_BYTES_MAX)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        detail = f"the form can't be read: {error.message} Nothing was stored. Send one file and a few short fields"
        raise UploadError(UploadFault.INVALID_FORM, detail) from error
    try:
        image = form.get("image")
        if not isinstance(image, UploadFile):
            found = ", ".join(repr(name) for name in form) or "no fields"
            detail = f"the form has {found}; nothing was stored. Send the whole file in a field 'image', as a file"
            raise UploadError(UploadFault.NO_IMAGE, detail)
        if (image.size or 0) > bytes_max:
            raise _too_large(image.size, bytes_max)
        fields = [(name, value) for name, value in form.multi_items() if isinstance(value, str)]
        return await image.read(), fields
    finally:
        await form.close()


async def _bounded(request: Request, total_max: int, bytes_max: int) -> AsyncGenerator[bytes, None]:
    """Stream the body; refuse it once it has more than ``total_max`` bytes."""
    total = 0
    async for chunk in request.stream():
        total += len(chunk)
        if total > total_max:
            raise _too_large(total, bytes_max)
        yield chunk


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _too_large(found: int | None, bytes_max: int) -> UploadError:
    detail = f"the upload has at least {found} bytes, {bytes_max} are allowed; nothing was stored. Send a smaller image"
    return UploadError(UploadFault.TOO_LARGE, detail)
