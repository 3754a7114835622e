"""What inference does with each capture, whether it came through the image topic or was asked for over HTTP."""

from collections.abc import Awaitable, Callable
from datetime import datetime

from services.inference.domain.judge import CaptureJudgement, UnknownReason, is_late, make_verdict
from services.inference.ports import ImageSource, LinePredictors, LineSettings, MaskStore
from siad.contracts.events import ImageStored, Intent, LineChanged, VerdictGiven
from siad.runtime.clock import Clock
from siad.vision.images import Image


async def on_image_stored(
    event: ImageStored,
    *,
    lines: LineSettings,
    images: ImageSource,
    examiner: LinePredictors,
    masks: MaskStore,
    clock: Clock,
) -> list[VerdictGiven]:
    """Judge one capture, unless it is known to be good.

    Safe to repeat: the verdict is named by its capture and readers take the first; the mask's key holds the capture
    and the weights, so a redelivered event overwrites the same bytes.
    """
    if event.intent is Intent.NORMAL:
        return []
    started_at = clock.now()
    settings = await lines.settings(event.line, event.line_revision)
    judgement = await judge(
        lambda: images.fetch(event),
        product=event.product,
        received_at=event.received_at,
        settings=settings,
        examiner=examiner,
        clock=clock,
    )
    mask_uri = ""
    if judgement.mask_HW is not None:
        weights = judgement.weights
        mask_uri = await masks.store(judgement.mask_HW, line=event.line, capture_id=event.capture_id, weights=weights)
    return [make_verdict(event, judgement, mask_uri=mask_uri, started_at=started_at, judged_at=clock.now())]


def on_undecodable(event: ImageStored, *, clock: Clock) -> list[VerdictGiven]:
    """Answer for a capture that was buried: its line waits for a word, and it must not be PASS."""
    if event.intent is Intent.NORMAL:
        return []
    now = clock.now()
    judgement = CaptureJudgement.unknown(UnknownReason.UNDECODABLE)
    return [make_verdict(event, judgement, mask_uri="", started_at=now, judged_at=now)]


async def judge(
    fetch: Callable[[], Awaitable[Image]],
    *,
    product: str,
    received_at: datetime,
    settings: LineChanged,
    examiner: LinePredictors,
    clock: Clock,
) -> CaptureJudgement:
    """Judge one image by what judges its line and product now.

    A judgement that comes after the deadline is UNKNOWN like one that never came: the part has moved on.

    Args:
        fetch: gives the image; called only where somebody can look at it in time.
        product: what the line made when the image was taken.
        received_at: what the deadline counts from.
        settings: the line's, at the revision that the capture names.
        examiner: the models.
        clock: time.
    """
    line, deadline_s = settings.line, settings.deadline_s
    if is_late(clock.now(), received_at=received_at, deadline_s=deadline_s):
        return CaptureJudgement.unknown(UnknownReason.LATE)
    if (reason := await examiner.prepare(line, product)) is not None:
        return CaptureJudgement.unknown(reason)
    began = clock.monotonic()
    image = await fetch()
    fetch_s = clock.monotonic() - began
    examined = await examiner.predict(image, line=line, product=product)
    if examined is None:  # withdrawn meanwhile
        return CaptureJudgement.unknown(UnknownReason.NO_WEIGHTS, fetch_s=fetch_s)
    if is_late(clock.now(), received_at=received_at, deadline_s=deadline_s):
        return CaptureJudgement.unknown(UnknownReason.LATE, fetch_s=fetch_s, score_s=examined.score_s)
    return CaptureJudgement.of(examined, fetch_s=fetch_s)
