"""Live probes beside the stream.

One at a time, and only while no capture is under way.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final

import structlog

from services.inference import metrics
from services.inference.domain.judge import CaptureJudgement
from services.inference.domain.probes import PassedCapture, ProbeResult, ProbeTally, is_probed, put_defect
from services.inference.ports import LinePredictors
from siad.contracts.errors import TransientError
from siad.contracts.events import Decision, ImageStored
from siad.contracts.normals_profile import SizeRule
from siad.contracts.place import Place
from siad.runtime.clock import Clock
from siad.vision.found_share import FoundShare
from siad.vision.images import Image
from siad.vision.plausibility import Misfit

log = structlog.get_logger()

PLACES_MAX: Final = 500  # lines and products with figures; the longest unused is forgotten
IDLE_S: Final = 0.02  # between two looks whether a capture is under way
WAIT_S: Final = 10.0  # for a moment without one; then the probe is dropped
BOUNDS: Final = ("estimate", "low", "high")


class LiveProbes:
    """Probes a share of the passed captures, and exports what is found.

    Nothing is stored and nothing published. A probe holds one image and its copy; where one waits already, the next is
    dropped, so a stream without pauses has no probes.
    """

    def __init__(self, predictors: LinePredictors, *, share: float, clock: Clock) -> None:
        self._predictors, self._share, self._clock = predictors, share, clock
        self._waiting: asyncio.Queue[PassedCapture] = asyncio.Queue(maxsize=1)
        self._under_way = 0
        self._tallies: OrderedDict[Place, ProbeTally] = OrderedDict()

    @contextmanager
    def judging(self) -> Iterator[None]:
        """Hold up probes while a capture of the stream is judged."""
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1

    def offer(self, event: ImageStored, image_HWC: Image, judgement: CaptureJudgement, *, sizes: SizeRule) -> None:
        """Probe a copy of a capture that passed, if it is drawn."""
        if judgement.decision is not Decision.PASS or not is_probed(event.capture_id, self._share):
            return
        capture = PassedCapture(
            place=Place(event.line, event.product),
            capture_id=event.capture_id,
            image_HWC=image_HWC,
            sizes=sizes,
            weights=judgement.weights,
            threshold_revision=judgement.threshold.revision,
        )
        try:
            self._waiting.put_nowait(capture)
        except asyncio.QueueFull:
            metrics.PROBES.labels(event.line, "dropped").inc()

    async def run(self, stop: asyncio.Event) -> None:
        """Probe what is offered until ``stop``."""
        with ThreadPoolExecutor(1, "probe") as maker:
            while not stop.is_set():
                try:
                    async with asyncio.timeout(1.0):
                        capture = await self._waiting.get()
                except TimeoutError:
                    continue
                try:
                    outcome = await self._probe(capture, maker)
                except Exception:
                    log.exception("probe_failed", line=capture.place.line, capture_id=capture.capture_id)
                    outcome = "dropped"  # a probe never stops the stage
                metrics.PROBES.labels(capture.place.line, outcome).inc()

    async def _probe(self, capture: PassedCapture, maker: ThreadPoolExecutor) -> str:
        """Make, judge and count one probe; returns the outcome's label."""
        defect = await asyncio.get_running_loop().run_in_executor(maker, put_defect, capture)
        if defect is None:
            return "dropped"
        if not await self._is_idle():
            return "dropped"
        try:
            prediction = await self._predictors.predict(defect.image_HWC, capture.place, sizes=capture.sizes)
        except TransientError as error:
            log.info("probe_dropped", line=capture.place.line, reason=str(error))
            return "dropped"
        if prediction is None or isinstance(prediction.finding, Misfit):
            return "dropped"
        if (prediction.release.weights, prediction.threshold.revision) != (capture.weights, capture.threshold_revision):
            return "dropped"  # these weights did not judge the capture
        is_found = prediction.finding.is_defect
        self._count(capture, ProbeResult(is_clear=defect.is_clear, is_found=is_found))
        return "found" if is_found else "missed"

    async def _is_idle(self) -> bool:
        """Wait for a moment without a capture; False if there is none."""
        end_s = self._clock.monotonic() + WAIT_S
        while self._under_way and self._clock.monotonic() < end_s:
            await self._clock.sleep(IDLE_S)
        return not self._under_way

    def _count(self, capture: PassedCapture, result: ProbeResult) -> None:
        place, by = capture.place, (capture.weights, capture.threshold_revision)
        tally = self._tallies.get(place)
        if tally is None or (tally.weights, tally.threshold_revision) != by:
            self._forget(place)
            tally = self._tallies[place] = ProbeTally(*by)
        self._tallies.move_to_end(place)
        if len(self._tallies) > PLACES_MAX:
            self._forget(next(iter(self._tallies)))
        tally.add(result)
        _export(place, "clear" if result.is_clear else "faint", tally.share(clear=result.is_clear))

    def _forget(self, place: Place) -> None:
        """Withdraw the figures of a place: other weights have found nothing yet."""
        if self._tallies.pop(place, None) is not None:
            for defects in ("clear", "faint"):
                for bound in BOUNDS:
                    metrics.PROBE_RECALL.remove(*place, defects, bound)


def _export(place: Place, defects: str, share: FoundShare) -> None:
    values = (share.share, *share.interval)
    for bound, value in zip(BOUNDS, values, strict=True):
        metrics.PROBE_RECALL.labels(*place, defects, bound).set(value)
