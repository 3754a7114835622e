"""Handlers of inference: captures of the stream, direct requests, and dead letters."""

from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial

import structlog

from services.inference.domain.judge import (
    CaptureJudgement,
    FetchedImage,
    JudgementRequest,
    StepTimes,
    UnknownReason,
    is_late,
    make_verdict,
)
from services.inference.ports import (
    CaptureProbes,
    CaptureTrials,
    DriftLog,
    ErasedCaptures,
    ImageSource,
    LinePredictors,
    LineSettings,
    MaskStore,
    SpooledVerdicts,
)
from siad.contracts.events import ImageStored, Intent, VerdictGiven
from siad.contracts.normals_profile import SizeRule
from siad.contracts.place import Place
from siad.runtime import spans
from siad.runtime.clock import Clock
from siad.vision.images import Image

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamDependencies:
    """Ports of the stream's handler."""

    lines: LineSettings
    images: ImageSource
    predictors: LinePredictors
    masks: MaskStore
    erased: ErasedCaptures
    clock: Clock
    spool: SpooledVerdicts | None = None  # None: a capture that is delivered again is judged again
    drift: DriftLog | None = None  # None: drift is not watched
    probes: CaptureProbes | None = None  # None: nothing is probed
    trials: CaptureTrials | None = None  # None: no candidate judges


async def on_image_stored(event: ImageStored, ports: StreamDependencies) -> list[VerdictGiven]:
    """Judge one capture, unless it is labelled normal or erased.

    Safe to repeat: readers take the first verdict of a capture, and the mask's key holds capture, weights and threshold
    revision, so a redelivered event overwrites the same bytes.
    """
    if event.intent is Intent.NORMAL:
        return []
    with nullcontext() if ports.probes is None else ports.probes.judging():
        verdicts = await ports.erased.unless_erased(event, partial(_verdict_of, event, ports))
    for verdict in verdicts:
        fields = {"decision": verdict.decision.value, "reason": verdict.reason, "weights": verdict.weights[:12]}
        log.info("judged", **fields, **({"detail": verdict.detail} if verdict.detail else {}))
    return verdicts


async def _verdict_of(event: ImageStored, ports: StreamDependencies) -> list[VerdictGiven]:
    """Return the spooled verdict, else judge; spool where the broker is away."""
    if ports.spool is None:
        return [await _give_verdict(event, ports)]
    if (spooled := await ports.spool.find(event)) is not None:
        return [spooled]
    ports.spool.require_room()
    verdict = await _give_verdict(event, ports)
    await ports.spool.keep(verdict)
    return [verdict]


async def _give_verdict(event: ImageStored, ports: StreamDependencies) -> VerdictGiven:
    started_at = ports.clock.now()
    settings = await ports.lines.settings(event.line, event.line_revision)
    images: list[Image] = []

    async def fetch() -> FetchedImage:
        fetched = await ports.images.fetch(event)
        images.append(fetched.image_HWC)
        return fetched

    judgement = await judge(
        JudgementRequest(product=event.product, received_at=event.received_at, settings=settings),
        fetch=fetch,
        predictors=ports.predictors if ports.trials is None else ports.trials.predictors_of(event, ports.predictors),
        clock=ports.clock,
    )
    if ports.drift is not None and not judgement.trial:  # scores of a candidate are no sign of a drift
        ports.drift.note(event, judgement)
    for beside in (ports.probes, ports.trials):
        if beside is not None and images:
            beside.offer(event, images[0], judgement, sizes=SizeRule.of(settings.sizes))
    mask_uri = ""
    if judgement.mask_HW is not None:
        began_s = ports.clock.monotonic()
        mask_uri = await ports.masks.store(judgement.mask_HW, event=event, judgement=judgement)
        mask_s = ports.clock.monotonic() - began_s
        judgement = replace(judgement, times=replace(judgement.times, mask_s=mask_s))
    judged_at = ports.clock.now()
    return make_verdict(event, judgement, mask_uri=mask_uri, started_at=started_at, judged_at=judged_at)


def on_dead_letter(event: ImageStored, *, clock: Clock) -> list[VerdictGiven]:
    """Answer UNKNOWN for a dead-lettered capture.

    Its line waits for a verdict, which must not be PASS.
    """
    if event.intent is Intent.NORMAL:
        return []
    now = clock.now()
    judgement = CaptureJudgement.unknown(UnknownReason.UNDECODABLE)
    return [make_verdict(event, judgement, mask_uri="", started_at=now, judged_at=now)]


async def judge(
    request: JudgementRequest,
    *,
    fetch: Callable[[], Awaitable[FetchedImage]],
    predictors: LinePredictors,
    clock: Clock,
) -> CaptureJudgement:
    """Judge one image by the weights in service at its place.

    A judgement after the deadline is UNKNOWN: the part has moved on. So is one of an image that does not fit the
    normals of its line.

    Args:
        request: product, deadline and settings.
        fetch: reads the image; called only where it can be judged in time.
        predictors: the weights.
        clock: time.
    """
    settings, received_at = request.settings, request.received_at
    place = Place(settings.line, request.product)
    if is_late(clock.now(), received_at=received_at, deadline_s=settings.deadline_s):
        return CaptureJudgement.unknown(UnknownReason.LATE)
    if (reason := await predictors.prepare(place)) is not None:
        return CaptureJudgement.unknown(reason)
    began_s = clock.monotonic()
    with spans.step("fetch and decode image"):
        fetched = await fetch()
    times = StepTimes(fetch_s=clock.monotonic() - began_s, decode_s=fetched.decode_s)
    with spans.step("score"):
        prediction = await predictors.predict(fetched.image_HWC, place, sizes=SizeRule.of(settings.sizes))
    if prediction is None:  # withdrawn meanwhile
        return CaptureJudgement.unknown(UnknownReason.NO_WEIGHTS, times=times)
    times = replace(times, score_s=prediction.score_s)
    if is_late(clock.now(), received_at=received_at, deadline_s=settings.deadline_s):
        return CaptureJudgement.unknown(UnknownReason.LATE, times=times)
    if prediction.darkness:
        log.warning("image_dark", line=place.line, product=place.product, reason=prediction.darkness)
    return CaptureJudgement.of(prediction, times=times)
