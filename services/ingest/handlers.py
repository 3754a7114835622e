"""Handlers of ingest: set, end and announce lines, accept images."""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog

from services.ingest.domain.captures import ReceivedImage, identify, make_receipt, require_same_capture
from services.ingest.domain.lines import LineChangeRequest, Preconditions, change_line, end_line, is_fulfilled
from services.ingest.domain.refusals import RefusalReason, RequestRefusedError
from services.ingest.domain.uploads import UploadClaim
from services.ingest.ports import CaptureStore, EventPublisher, ImageValidator, LineStore, ValidatedImage
from siad.contracts.documents import LineState
from siad.contracts.errors import ConflictError, TransientError
from siad.contracts.events import ImageStored, Intent, LineChanged
from siad.runtime.clock import Clock

RACES_MAX: Final = 8  # attempts of one change that other changes may overtake; then its sender must retry


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """One upload, read completely."""

    data: bytes
    claim: UploadClaim
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedImage:
    """One image that is stored and announced."""

    receipt: ImageStored  # of the first upload, where this one is a repeat
    image: ValidatedImage
    is_repeat: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LineChangeResult:
    """A line after a change."""

    settings: LineChanged
    is_new: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LineDependencies:
    """Ports of the handlers of lines."""

    lines: LineStore
    publisher: EventPublisher
    clock: Clock


async def on_line_put(
    line: str, request: LineChangeRequest, conditions: Preconditions, ports: LineDependencies
) -> LineChangeResult:
    """Set a line's settings and announce them.

    Safe to repeat: settings that are already as requested are only announced again; even If-Match does not refuse that
    (RFC 9110, 13.1.1). A crash before the announcement is repaired by ingest's next start.

    Raises:
        RequestRefusedError: a precondition fails, or the settings are invalid.
    """
    for _ in range(RACES_MAX):
        stored = await ports.lines.read(line)
        state = stored.state if stored else None
        is_done = is_fulfilled(state, request)
        if not is_done or conditions.if_none_match is not None:
            conditions.check(line, state)
        if is_done and state is not None:
            await announce(state, lines=ports.lines, publisher=ports.publisher)
            return LineChangeResult(settings=state.settings, is_new=False)
        settings = change_line(state, request, line=line, now=ports.clock.now())
        try:
            written = await ports.lines.write(LineState(settings=settings), over=stored)
        except ConflictError:
            continue  # read again: the preconditions may fail now
        await announce(written, lines=ports.lines, publisher=ports.publisher)
        return LineChangeResult(settings=written.settings, is_new=state is None or state.is_gone)
    raise _too_many_races(line)


async def on_line_delete(line: str, conditions: Preconditions, ports: LineDependencies) -> None:
    """End a line and announce it.

    Its objects stay in the store; its revisions continue if it is registered again. Safe to repeat: the end of an ended
    line is announced again.

    Raises:
        RequestRefusedError: a precondition fails, or there never was such a line.
    """
    for _ in range(RACES_MAX):
        stored = await ports.lines.read(line)
        if stored is None:
            raise unknown_line(line)
        if stored.state.is_gone:
            await announce(stored.state, lines=ports.lines, publisher=ports.publisher)
            return
        conditions.check(line, stored.state)
        try:
            written = await ports.lines.write(end_line(stored.state, now=ports.clock.now()), over=stored)
        except ConflictError:
            continue
        await announce(written, lines=ports.lines, publisher=ports.publisher)
        return
    raise _too_many_races(line)


async def announce(state: LineState, *, lines: LineStore, publisher: EventPublisher) -> None:
    """Publish the settings of a line until the newest are published.

    Two replicas may announce one line at a time, and the topic keeps the last event. Each therefore reads the line
    again after publishing: the last one to publish has read the newest revision, or publishes once more.
    """
    while True:
        await publisher.publish_line(state)
        stored = await lines.read(state.settings.line)
        if stored is None or stored.state.settings.revision == state.settings.revision:
            return
        state = stored.state


async def on_upload(
    upload: Upload,
    settings: LineChanged,
    *,
    validator: ImageValidator,
    captures: CaptureStore,
    publisher: EventPublisher,
) -> AcceptedImage:
    """Accept one image: bytes, receipt, normal marker, event, in this order.

    Safe to repeat and to interrupt: an event is published only for stored objects, and a repeat reads the first
    receipt, writes what is missing and publishes the same event again.

    Args:
        upload: the image.
        settings: of its line, when the upload began.
        validator: checks the bytes.
        captures: stores them.
        publisher: announces them.

    Raises:
        ImageError: the bytes are no image; nothing was stored.
        RequestRefusedError: the capture was sent before and differs, or was erased.
    """
    claim = upload.claim
    image = await validator.validate(upload.data)
    capture_id = identify(claim, settings.line, image.image_id)
    structlog.contextvars.bind_contextvars(line=settings.line, capture_id=capture_id)  # of this request's log and span
    received = ReceivedImage(
        image_id=image.image_id,
        image_uri=captures.image_uri(settings.line, upload.received_at, image),
        size_bytes=len(upload.data),
        received_at=upload.received_at,
    )
    receipt = make_receipt(claim, received, settings=settings, capture_id=capture_id)
    first, is_erased = await asyncio.gather(
        captures.receipt(settings.line, capture_id), captures.is_erased(settings.line, capture_id)
    )
    if is_erased:
        raise erased(capture_id)
    is_repeat = first is not None
    if first is None:
        await captures.put_image(receipt, upload.data)
        first = await captures.put_receipt(receipt)
        is_repeat = first != receipt  # two equal uploads at once
    if is_repeat:
        require_same_capture(first, claim, image.image_id)
        if claim.intent is not Intent.NORMAL and await captures.is_expired(first):  # judged long ago
            return AcceptedImage(receipt=first, image=image, is_repeat=True)
        await captures.put_image(first, upload.data)
    if claim.intent is Intent.NORMAL:
        await captures.put_normal(first, upload.data)
    await publisher.publish_image(first, shards=settings.shards)
    return AcceptedImage(receipt=first, image=image, is_repeat=is_repeat)


def unknown_line(line: str) -> RequestRefusedError:
    """Build the refusal for an unregistered or ended line."""
    detail = f"line {line!r} is unknown; nothing was done. Register it: PUT /v1/lines/{line} with its product"
    return RequestRefusedError(RefusalReason.UNKNOWN_LINE, detail)


def erased(capture_id: str) -> RequestRefusedError:
    """Build the refusal for a capture that was erased on request."""
    detail = (
        f"this is capture {capture_id}, which was erased on request; nothing was stored. To have the image judged as "
        "another exposure, send another Idempotency-Key or captured_at"
    )
    return RequestRefusedError(RefusalReason.ERASED, detail)


def _too_many_races(line: str) -> TransientError:
    return TransientError(
        f"line {line!r} was changed {RACES_MAX} times by other requests during this change; it was not made"
    )
