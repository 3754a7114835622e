"""Handlers of the console: show captures, take corrections, publish them."""

import asyncio
from collections.abc import Awaitable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

import structlog

from services.console.domain.book import CorrectionBook, ShownCaptures
from services.console.domain.captures import CaptureEntry, CaptureWindow, at_thresholds
from services.console.domain.corrections import (
    CorrectionContext,
    CorrectionRefusedError,
    CorrectionRequest,
    RefusalReason,
    StoredMask,
    check_if_match,
    is_repeat,
    make_correction,
)
from services.console.domain.deferrals import Deferral
from services.console.domain.estimates import PlaceEstimates, estimate
from services.console.domain.labour import Labour, labour_of
from services.console.domain.leases import LeaseHolder
from services.console.domain.listing import CapturePage, PageRequest
from services.console.domain.quarantine import corrections_outside, entries_outside
from services.console.domain.review import Review, ReviewRequest, choose
from services.console.domain.serving import WeightsInService, at_weights, weights_in_service
from services.console.ports import (
    AnnouncedThresholds,
    CaptureStore,
    CorrectionStore,
    ErasedCaptures,
    EventPublisher,
    MaskImage,
    MaskReader,
    Projection,
    QuarantinedData,
    ServingWeights,
    TrainingRuns,
)
from siad.contracts.corrections import CaptureCorrected, CorrectionVerdict
from siad.contracts.errors import ConflictError, TransientError
from siad.contracts.events import ImageStored, Intent
from siad.contracts.place import Place
from siad.contracts.quarantine import QuarantineIndex
from siad.runtime.clock import Clock
from siad.vision.headers import TOO_LARGE, ImageError

log = structlog.get_logger()

RACES_MAX: Final = 8  # attempts of one correction that others of the capture may overtake


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsolePorts:
    """What the handlers need."""

    captures: CaptureStore
    corrections: CorrectionStore
    erased: ErasedCaptures
    quarantine: QuarantinedData
    serving: ServingWeights
    trainings: TrainingRuns
    masks: MaskReader
    publisher: EventPublisher
    projection: Projection
    window: CaptureWindow
    book: CorrectionBook
    shown: ShownCaptures
    thresholds: AnnouncedThresholds
    clock: Clock
    answered: asyncio.Event = field(default_factory=asyncio.Event)  # set at every correction: thresholds may move


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectionResult:
    """A stored and published correction."""

    correction: CaptureCorrected
    is_new: bool


async def on_correction(request: CorrectionRequest, ports: ConsolePorts) -> CorrectionResult:
    """Take one correction: mask, record, event, in this order.

    Safe to repeat and to interrupt: a request that says what the newest correction says stores nothing, and what a
    crash left unpublished is published at the next start.

    Raises:
        CorrectionRefusedError: the capture, the mask or If-Match is refused; nothing was stored.
        TransientError: the store or the broker is unavailable.
    """
    quarantine = await ports.quarantine.read(request.line)
    receipt = await _require_capture(request.line, request.capture_id, ports, quarantine)
    mask = await _require_mask(request, receipt, ports)
    for _ in range(RACES_MAX):
        revisions = await ports.corrections.revisions(request.line, request.capture_id)
        held = revisions[-1] if revisions else None
        is_withdrawn = held is not None and quarantine.has_correction(held.capture_id, held.revision)
        digest = "" if mask is None else mask.sha256
        if held is not None and not is_withdrawn and is_repeat(held, request, mask_sha256=digest):
            if not ports.book.is_published(held):
                await publish([held], ports)
            return CorrectionResult(correction=held, is_new=False)
        check_if_match(request.capture_id, request.if_match, held.revision if held else 0)
        try:
            correction = await _store(request, mask, receipt, held, ports)
        except ConflictError:
            continue  # read again: If-Match may fail now
        await publish([correction], ports)
        ports.answered.set()
        return CorrectionResult(correction=correction, is_new=True)
    msg = f"capture {request.capture_id} was corrected {RACES_MAX} times by other requests; this one was not stored"
    raise TransientError(msg)


async def publish(corrections: Sequence[CaptureCorrected], ports: ConsolePorts) -> None:
    """Publish stored corrections; what the broker did not take is outstanding."""
    is_published = False
    try:
        await ports.publisher.publish(corrections)
        is_published = True
    finally:
        for correction in corrections:
            ports.book.add(correction, is_published=is_published)
        await _list(corrections, ports, is_published=is_published)


async def _list(corrections: Sequence[CaptureCorrected], ports: ConsolePorts, *, is_published: bool) -> None:
    """Enter corrections into the projection, so that lists show them at once.

    Without a database the topic brings them later.
    """
    try:
        await ports.projection.add_corrections(corrections, is_published=is_published)
    except TransientError as error:
        log.warning("projection_away", reason=str(error))


async def on_review(request: ReviewRequest, ports: ConsolePorts) -> Review:
    """Choose the captures of a line that are shown next.

    A page is given none that another page has, and a lease of each.
    """
    every, corrections = await present_captures(request.line, None, ports)
    entries = [entry for entry in every if request.product in (None, entry.product)]
    holder = request.holder and LeaseHolder(line=request.line, name=request.holder, now=ports.clock.now())
    taken = await _unless_away(ports.projection.leased(holder), ()) if holder else ()
    put_off = await _unless_away(ports.projection.deferred(request.line, request.person, ports.clock.now()), ())
    free = [entry for entry in entries if entry.capture_id not in taken and entry.capture_id not in put_off]
    serving, latest = await _at_service(entries, corrections, ports)
    items = await asyncio.to_thread(choose, free, latest, request.count, serving)
    if holder:
        chosen = [item.entry.capture_id for item in items]
        held = await _unless_away(ports.projection.lease(holder, chosen), chosen)
        items = [item for item in items if item.entry.capture_id in held]
    for item in items:
        ports.shown.add(request.line, item.entry.capture_id, item.selection)
    scored = [entry.capture_id for entry in entries if entry.finding is not None]
    return Review(
        items=items,
        captures=len(scored),
        answered=len(latest.keys() & set(scored)),
        products=sorted({entry.product for entry in every if entry.finding is not None}),
        labour=await _labour(entries, corrections, request.corrections_min, ports),
        leased_until=holder.expires_at if holder else None,
    )


async def _labour(
    entries: Sequence[CaptureEntry], latest: Mapping[str, CaptureCorrected], needed: int, ports: ConsolePorts
) -> Labour:
    """What the answers took, and what further ones bring."""
    places = {entry.place for entry in entries}
    frozen = {place: at for place in places if (at := await ports.trainings.last_frozen_at(place)) is not None}
    return await asyncio.to_thread(lambda: labour_of(entries, latest, frozen, needed=needed))


async def _unless_away(asked: Awaitable[Collection[str]], otherwise: Collection[str]) -> Collection[str]:
    """Ask about leases or deferrals; without the database captures are shown."""
    try:
        return await asked
    except TransientError as error:
        log.warning("leases_away", reason=str(error))
        return otherwise


async def on_lease(line: str, capture_id: str, name: str, ports: ConsolePorts) -> datetime | None:
    """Give or renew the lease of one capture.

    Returns:
        Its end; None where another page has the capture.
    """
    holder = LeaseHolder(line=line, name=name, now=ports.clock.now())
    return holder.expires_at if capture_id in await ports.projection.lease(holder, [capture_id]) else None


async def on_release(line: str, capture_id: str, name: str, ports: ConsolePorts) -> None:
    """End the lease of one capture; a repeat is harmless."""
    await ports.projection.release(LeaseHolder(line=line, name=name, now=ports.clock.now()), [capture_id])


async def on_captures(request: PageRequest, ports: ConsolePorts) -> CapturePage:
    """Read one page of a line's captures, without those that were erased."""
    page = await ports.projection.page(request)
    received = [(one.entry.capture_id, one.entry.received_at) for one in page.captures]
    gone = await ports.erased.erased(request.line, received)
    captures = [one for one in page.captures if one.entry.capture_id not in gone]
    open_ones = [one.entry.capture_id for one in captures if one.answer is None]
    deferrals = await ports.projection.deferrals(request.line, open_ones, ports.clock.now())
    return replace(
        page, captures=[replace(one, deferrals=tuple(deferrals.get(one.entry.capture_id, ()))) for one in captures]
    )


async def on_deferral(deferral: Deferral, ports: ConsolePorts) -> None:
    """Put a capture off for one person; a repeat replaces the reason.

    Raises:
        CorrectionRefusedError: the capture is unknown or was erased.
    """
    await _require_receipt(deferral.line, deferral.capture_id, ports)
    await ports.projection.defer(deferral)


async def on_estimates(line: str, ports: ConsolePorts) -> list[PlaceEstimates]:
    """Estimate misses and false rejects of a line from drawn answers."""
    entries, corrections = await present_captures(line, None, ports)
    serving, latest = await _at_service(entries, corrections, ports)
    return await asyncio.to_thread(lambda: estimate(latest.values(), serving))


async def _at_service(
    entries: Sequence[CaptureEntry], latest: Mapping[str, CaptureCorrected], ports: ConsolePorts
) -> tuple[dict[Place, WeightsInService], dict[str, CaptureCorrected]]:
    """Weights in service, and the answers with the scores that these gave."""
    places = {entry.place for entry in entries} | {Place(one.line, one.product) for one in latest.values()}
    pointed = {place: found for place in places if (found := await ports.serving.serving(place)) is not None}
    serving = weights_in_service(entries, pointed)
    return serving, at_weights(latest, entries, serving)


async def on_corrections(line: str, capture_id: str, ports: ConsolePorts) -> list[CaptureCorrected]:
    """Read every revision of a capture's correction, oldest first.

    Raises:
        CorrectionRefusedError: the capture is unknown or was erased.
    """
    await _require_receipt(line, capture_id, ports)
    return await ports.corrections.revisions(line, capture_id)


async def present_captures(
    line: str, product: str | None, ports: ConsolePorts
) -> tuple[list[CaptureEntry], Mapping[str, CaptureCorrected]]:
    """Captures and corrections of a line, without those erased or in quarantine.

    A correction in quarantine is unsure. Captures have the thresholds that their weights have now.
    """
    entries = at_thresholds(ports.window.of_line(line), thresholds_of(line, ports))
    latest = ports.book.latest(line)
    received = {entry.capture_id: entry.received_at for entry in entries}
    received |= {capture_id: correction.received_at for capture_id, correction in latest.items()}
    gone = await ports.erased.erased(line, list(received.items()))
    ports.window.drop(line, gone)
    ports.book.drop(line, gone)
    quarantine = await ports.quarantine.recent(line)
    kept = [entry for entry in entries if entry.capture_id not in gone and product in (None, entry.product)]
    left = {capture_id: one for capture_id, one in latest.items() if capture_id not in gone}
    return entries_outside(kept, quarantine), corrections_outside(left, quarantine)


async def last_judged(line: str, product: str, count: int, ports: ConsolePorts) -> list[CaptureEntry]:
    """Captures that were judged last, without those erased or in quarantine.

    Each is at the threshold that it was judged by: these are the verdicts that the plant received.
    """
    found = ports.window.last_judged(line, product, count)
    gone = await ports.erased.erased(line, [(entry.capture_id, entry.received_at) for entry in found])
    left = [entry for entry in found if entry.capture_id not in gone]
    return entries_outside(left, await ports.quarantine.recent(line))


def thresholds_of(line: str, ports: ConsolePorts) -> dict[str, float]:
    """Thresholds that were set for weights of a line, by weights."""
    return {one.weights: one.image_threshold for one in ports.thresholds.all() if one.line == line}


async def _store(
    request: CorrectionRequest,
    mask: MaskImage | None,
    receipt: ImageStored,
    held: CaptureCorrected | None,
    ports: ConsolePorts,
) -> CaptureCorrected:
    """Write mask and record.

    Raises:
        ConflictError: another request wrote this revision.
        CorrectionRefusedError: the capture was erased meanwhile; nothing of it is left.
    """
    stored = StoredMask()
    if mask is not None:
        stored = await ports.corrections.put_mask(request.line, request.capture_id, mask)
    found = ports.window.find(request.line, request.capture_id)
    context = CorrectionContext(
        receipt=receipt,
        held=held,
        entry=None if found is None else at_thresholds([found], thresholds_of(request.line, ports))[0],
        shown=ports.shown.why(request.line, request.capture_id),
    )
    correction = make_correction(request, stored, context, ports.clock.now())
    await ports.corrections.put_record(correction)
    if await ports.captures.is_erased(request.line, request.capture_id, receipt.received_at):
        await ports.corrections.delete(correction)  # an erasure that had listed the objects before does not know it
        raise _forgotten(request.capture_id)
    return correction


async def _require_receipt(line: str, capture_id: str, ports: ConsolePorts) -> ImageStored:
    receipt = await ports.captures.receipt(line, capture_id)
    if await ports.captures.is_erased(line, capture_id, receipt.received_at if receipt else None):
        raise _forgotten(capture_id)
    if receipt is None:
        detail = (
            f"line {line!r} has no capture {capture_id}; nothing was stored. Copy the id from siad review or siad "
            "verdicts; a capture older than the retention of receipts is unknown too"
        )
        raise CorrectionRefusedError(RefusalReason.UNKNOWN_CAPTURE, detail)
    return receipt


async def _require_capture(line: str, capture_id: str, ports: ConsolePorts, quarantine: QuarantineIndex) -> ImageStored:
    receipt = await _require_receipt(line, capture_id, ports)
    if capture_id in quarantine.captures:
        detail = (
            f"capture {capture_id} is in quarantine, so nothing learns from it; nothing was stored. Why: siad lineage "
            f"{capture_id} --line {line}. There is no way out: send an image of the part again, and answer that"
        )
        raise CorrectionRefusedError(RefusalReason.IN_QUARANTINE, detail)
    if receipt.intent is Intent.NORMAL:
        detail = (
            f"capture {capture_id} was sent as a normal, which needs no answer; nothing was stored. If the part is not "
            f"good, remove the normal: siad forget capture {capture_id} --line {line}"
        )
        raise CorrectionRefusedError(RefusalReason.CAPTURE_IS_NORMAL, detail)
    return receipt


async def _require_mask(request: CorrectionRequest, receipt: ImageStored, ports: ConsolePorts) -> MaskImage | None:
    """Check the mask against the image, which must exist."""
    if not request.mask:
        if not await ports.captures.has_image(receipt):
            raise _expired(receipt)
        return None
    if request.verdict is not CorrectionVerdict.DEFECT:
        detail = (
            f"a mask was sent and capture {request.capture_id} is called {request.verdict.value}; nothing was stored. "
            "Send defect with the mask, or no mask"
        )
        raise CorrectionRefusedError(RefusalReason.MASK_WITHOUT_DEFECT, detail)
    try:
        mask = await ports.masks.read_mask(request.mask)
    except ImageError as error:
        reason = RefusalReason.MASK_TOO_LARGE if error.reason == TOO_LARGE else RefusalReason.MASK_UNREADABLE
        raise CorrectionRefusedError(reason, f"mask refused: {error}; nothing was stored") from error
    if not mask.defect_px:
        detail = (
            f"the mask of capture {request.capture_id} marks no pixel as defective (255); nothing was stored. Mark the "
            "defect, send defect without a mask, or call the capture good"
        )
        raise CorrectionRefusedError(RefusalReason.MASK_EMPTY, detail)
    image = await ports.captures.image(receipt)
    if image is None:
        raise _expired(receipt)
    size = await ports.masks.read_size(image)
    if size != (mask.width_px, mask.height_px):
        detail = (
            f"the mask has {mask.width_px}x{mask.height_px} px and the image of capture {request.capture_id} "
            f"{size[0]}x{size[1]} px; nothing was stored. Send a mask of the image's size, upright like it"
        )
        raise CorrectionRefusedError(RefusalReason.MASK_SIZE_DIFFERS, detail)
    return mask


def _forgotten(capture_id: str) -> CorrectionRefusedError:
    detail = f"capture {capture_id} was erased on request; nothing was stored, and nothing of it can be shown"
    return CorrectionRefusedError(RefusalReason.FORGOTTEN, detail)


def _expired(receipt: ImageStored) -> CorrectionRefusedError:
    detail = (
        f"the image of capture {receipt.capture_id}, received {receipt.received_at:%Y-%m-%d}, no longer exists; "
        "nothing was stored, since nothing can be learned from it. SIAD_INGEST_IMAGES_DAYS sets how long images stay"
    )
    return CorrectionRefusedError(RefusalReason.IMAGE_EXPIRED, detail)
