"""Handlers of ingest: set, end and announce lines, accept images."""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from services.ingest.domain.captures import hold_against, identify, make_receipt
from services.ingest.domain.lines import LineChangeRequest, Preconditions, change_line, end_line, is_fulfilled
from services.ingest.domain.refusals import RefusalReason, RequestRefusedError
from services.ingest.domain.uploads import UploadClaim
from services.ingest.ports import CaptureStore, EventPublisher, ImageValidator, LineStore, ValidatedImage
from siad.contracts.documents import LineState
from siad.contracts.errors import ConflictError, TransientError
from siad.contracts.events import ImageStored, Intent, LineChanged
from siad.runtime.clock import Clock

RACES_MAX: Final = 8  # lost in a row by one change; then its sender may try again


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """One image as it came."""

    data: bytes
    claim: UploadClaim
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedImage:
    """One image that is stored and announced."""

    receipt: ImageStored  # the first one, where it was sent before
    seen: ValidatedImage
    is_repeat: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LineChangeResult:
    """A line after a change."""

    settings: LineChanged
    is_new: bool


async def on_line_put(
    line: str,
    wish: LineChangeRequest,
    conditions: Preconditions,
    *,
    lines: LineStore,
    news: EventPublisher,
    clock: Clock,
) -> LineChangeResult:
    """Set a line's settings and announce them.

    Safe to repeat: where the settings are as wished already they are announced again, and that is all; even If-Match
    does not refuse then (RFC 9110, 13.1.1). A crash before the announcement is healed by ingest's next start.

    Raises:
        RefusedError: the conditions don't hold, or the wish can't be.
    """
    for _ in range(RACES_MAX):
        held = await lines.read(line)
        state = held.state if held else None
        is_done = is_fulfilled(state, wish)
        if not is_done or conditions.if_none_match is not None:
            conditions.check(line, state)
        if is_done and state is not None:
            await announce(state, lines=lines, news=news)
            return LineChangeResult(settings=state.settings, is_new=False)
        settings = change_line(state, wish, line=line, now=clock.now())
        try:
            written = await lines.write(LineState(settings=settings), over=held)
        except ConflictError:
            continue  # look again: the conditions may not hold any more
        await announce(written, lines=lines, news=news)
        return LineChangeResult(settings=written.settings, is_new=state is None or state.is_gone)
    raise _too_many_races(line)


async def on_line_delete(
    line: str, conditions: Preconditions, *, lines: LineStore, news: EventPublisher, clock: Clock
) -> None:
    """End a line and announce it.

    Its objects stay in the store; its revisions continue if it is created again.

    Safe to repeat: the end of a line that is gone is announced again.

    Raises:
        RefusedError: the conditions don't hold, or there never was such a line.
    """
    for _ in range(RACES_MAX):
        held = await lines.read(line)
        if held is None:
            raise unknown_line(line)
        if held.state.is_gone:
            await announce(held.state, lines=lines, news=news)
            return
        conditions.check(line, held.state)
        try:
            written = await lines.write(end_line(held.state, now=clock.now()), over=held)
        except ConflictError:
            continue
        await announce(written, lines=lines, news=news)
        return
    raise _too_many_races(line)


async def announce(state: LineState, *, lines: LineStore, news: EventPublisher) -> None:
    """Publish the settings of a line until the newest are published.

    Two replicas may announce one line at a time, and the topic keeps whatever came last. So each of them looks again
    after it has spoken: who spoke last has seen the newest revision, or speaks once more.
    """
    while True:
        await news.tell_line(state)
        held = await lines.read(state.settings.line)
        if held is None or held.state.settings.revision == state.settings.revision:
            return
        state = held.state


async def on_upload(
    upload: Upload, settings: LineChanged, *, pixels: ImageValidator, captures: CaptureStore, news: EventPublisher
) -> AcceptedImage:
    """Accept one image: bytes, receipt, normal marker, event, in this order.

    Safe to repeat, and to be cut off anywhere: nothing is announced that does not lie in the store, and a repeat finds
    the first receipt, fills in what is missing and announces the same event again.

    Args:
        upload: the image.
        settings: of its line, as they stood when it came.
        pixels: to look at the bytes.
        captures: where to keep them.
        news: whom to tell.

    Raises:
        ImageError: the bytes are no image; nothing was stored.
        RefusedError: the capture was sent before, and differed, or was forgotten since.
    """
    claim = upload.claim
    seen = await pixels.look(upload.data)
    capture_id = identify(claim, settings.line, seen.image_id)
    receipt = make_receipt(
        claim,
        settings=settings,
        capture_id=capture_id,
        image_id=seen.image_id,
        image_uri=captures.image_uri(settings.line, upload.received_at, seen),
        size_bytes=len(upload.data),
        received_at=upload.received_at,
    )
    first, is_forgotten = await asyncio.gather(
        captures.receipt(settings.line, capture_id), captures.is_forgotten(settings.line, capture_id)
    )
    if is_forgotten:
        raise forgotten(capture_id)
    is_repeat = first is not None
    if first is None:
        await captures.put_image(receipt, upload.data)
        first = await captures.put_receipt(receipt)
        is_repeat = first != receipt  # the same upload came twice at once
    if is_repeat:
        hold_against(first, claim, seen.image_id)
        if claim.intent is not Intent.NORMAL and await captures.is_expired(first):
            return AcceptedImage(
                receipt=first, seen=seen, is_repeat=True
            )  # judged long ago: neither kept nor told again
        await captures.put_image(first, upload.data)
    if claim.intent is Intent.NORMAL:
        await captures.put_normal(first, upload.data)
    await news.tell_image(first, shards=settings.shards)
    return AcceptedImage(receipt=first, seen=seen, is_repeat=is_repeat)


def unknown_line(line: str) -> RequestRefusedError:
    """There is no such line (any more)."""
    detail = f"line {line!r} is not known; nothing was done. Register it: PUT /v1/lines/{line} with its product"
    return RequestRefusedError(RefusalReason.UNKNOWN_LINE, detail)


def forgotten(capture_id: str) -> RequestRefusedError:
    """The capture was deleted on purpose."""
    detail = (
        f"this is capture {capture_id}, which was forgotten on demand; nothing was stored. To have the image judged as "
        "another exposure send an Idempotency-Key of its own, or serial and captured_at"
    )
    return RequestRefusedError(RefusalReason.FORGOTTEN, detail)


def _too_many_races(line: str) -> TransientError:
    return TransientError(f"line {line!r} was changed by others {RACES_MAX} times while this change was under way")
