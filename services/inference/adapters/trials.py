"""Trials beside the stream: canary decisions, and second judgements in the shadow.

The thread of second judgements gives way to all others, takes at most a share of one core, and drops what is too much:
no verdict waits for them. Where both weights of a trial decide captures, as in a canary, a verdict may wait for
one second judgement of the same weights, since a network runs for one caller at a time.
"""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import structlog

from services.inference import metrics
from services.inference.adapters.examination import examine
from services.inference.adapters.predictors import HotSwapPredictors
from services.inference.domain.judge import NO_TIME, CaptureJudgement, Prediction, UnknownReason
from services.inference.domain.releases import ReleasePointer
from services.inference.domain.trials import CpuBudget, JudgedCapture, candidate_of, is_of_trial, make_pair
from services.inference.ports import LinePredictors, ThresholdLookup
from siad.contracts.codec import encode
from siad.contracts.errors import TransientError
from siad.contracts.events import Decision, ImageStored
from siad.contracts.ids import WeightsId
from siad.contracts.normals_profile import SizeRule
from siad.contracts.place import Place
from siad.contracts.topics import SHADOW
from siad.contracts.trials import TrialChanged, TrialPhase
from siad.models.predictor import Predictor
from siad.runtime.bus.port import Bus, Message, Producer
from siad.runtime.clock import Clock
from siad.runtime.priority import make_thread_give_way
from siad.vision.images import Image

log = structlog.get_logger()

NICE: Final = 10
WAITING_MAX: Final = 4  # captures, each with a decoded image in memory
RETRY_S: Final = 60.0  # after weights could not be loaded, or found no room
BROKER_S: Final = 5.0  # between two attempts to reach the broker
KEPT_S: Final = 60.0  # in memory after the end of a trial: a release may follow


class _Second(NamedTuple):
    prediction: Prediction
    spent_s: float


@dataclass(frozen=True, slots=True)
class _CanaryPredictors:
    """Weights of a trial's candidate for one capture, else those in service."""

    trials: "Trials"
    trial: TrialChanged
    serving: LinePredictors

    async def prepare(self, place: Place) -> UnknownReason | None:
        """Prepare the weights in service, which judge where the candidate can't."""
        return await self.serving.prepare(place)

    async def predict(self, image: Image, place: Place, *, sizes: SizeRule = SizeRule.NORMALS) -> Prediction | None:
        """Examine one image by the candidate; by what serves where that can't."""
        found = await self.trials.predict_by_candidate(self.trial, image, sizes)
        return found or await self.serving.predict(image, place, sizes=sizes)


class Trials:
    """The port ``CaptureTrials``.

    Args:
        predictors: of the weights in service, whose memory the candidates share.
        thresholds: set for weights since their release.
        loader: thread that loads weights.
        share: of one core that second judgements may take; 0: none are made.
        clock: time.
    """

    def __init__(
        self,
        predictors: HotSwapPredictors,
        thresholds: ThresholdLookup,
        *,
        loader: ThreadPoolExecutor,
        share: float,
        clock: Clock,
    ) -> None:
        self._predictors, self._thresholds = predictors, thresholds
        self._loader, self._clock = loader, clock
        self._budget = CpuBudget(share)
        self._open: dict[Place, TrialChanged] = {}
        self._waiting: asyncio.Queue[JudgedCapture] = asyncio.Queue(maxsize=WAITING_MAX)
        self._retry_s: dict[WeightsId, float] = {}
        self._ended_s: dict[WeightsId, float] = {}  # candidates of ended trials

    def on_trial(self, _: str, trial: TrialChanged | None) -> None:
        """Follow the trials that the trainer opens, moves and ends."""
        if trial is None:
            return
        place = Place(trial.line, trial.product)
        before = self._open.pop(place, None)
        if before is not None:
            self._ended_s[before.candidate] = self._clock.monotonic()
        if trial.phase in (TrialPhase.SHADOW, TrialPhase.CANARY):
            self._open[place] = trial
            self._ended_s.pop(trial.candidate, None)
        log.info("trial_followed", place=str(place), trial=trial.trial, phase=trial.phase.value)

    def predictors_of(self, event: ImageStored, serving: LinePredictors) -> LinePredictors:
        """Return the weights that decide a capture."""
        trial = self._open.get(Place(event.line, event.product))
        if trial is None or not trial.is_decided_by_candidate(event.capture_id):
            return serving
        return _CanaryPredictors(self, trial, serving)

    async def predict_by_candidate(self, trial: TrialChanged, image: Image, sizes: SizeRule) -> Prediction | None:
        """Examine one image by a candidate; None where it can't.

        A candidate decides only while what it is compared with serves.
        """
        if self._predictors.serving_weights(Place(trial.line, trial.product)) != trial.serving:
            return None
        try:
            found = await self._predictors.predict_by(candidate_of(trial), image, sizes=sizes)
        except TransientError as error:
            log.warning("canary_failed", trial=trial.trial, line=trial.line, reason=str(error))
            return None
        return found and replace(found, trial=trial.trial)

    def offer(self, event: ImageStored, image_HWC: Image, judgement: CaptureJudgement, *, sizes: SizeRule) -> None:
        """Have both weights of an open trial judge a capture."""
        trial = self._open.get(Place(event.line, event.product))
        if trial is None or not is_of_trial(judgement, trial):
            return
        if not self._budget.is_left(self._clock.monotonic()):
            metrics.SHADOWS.labels(event.line, "over-budget").inc()
            return
        capture = JudgedCapture(event=event, image_HWC=image_HWC, sizes=sizes, judgement=judgement, trial=trial)
        try:
            self._waiting.put_nowait(capture)
        except asyncio.QueueFull:
            metrics.SHADOWS.labels(event.line, "busy").inc()

    async def run(self, bus: Bus, stop: asyncio.Event) -> None:
        """Judge what is offered, and publish the pairs, until ``stop``."""
        with ThreadPoolExecutor(1, "shadow", initializer=make_thread_give_way, initargs=(NICE,)) as judge:
            while not stop.is_set():
                try:
                    async with bus.producer() as producer:
                        await self._follow(producer, judge, stop)
                except TransientError as error:
                    log.warning("pairs_not_published", reason=str(error), retry_s=BROKER_S)
                    await self._clock.sleep(BROKER_S)

    async def _follow(self, producer: Producer, judge: ThreadPoolExecutor, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self._tidy()
            try:
                async with asyncio.timeout(1.0):
                    capture = await self._waiting.get()
            except TimeoutError:
                continue
            outcome = "failed"
            try:
                outcome = await self._judge(capture, producer, judge)
            except TransientError:
                outcome = "unpublished"
                raise
            except Exception:
                log.exception("second_judgement_failed", line=capture.event.line, capture_id=capture.event.capture_id)
            finally:
                metrics.SHADOWS.labels(capture.event.line, outcome).inc()

    async def _judge(self, capture: JudgedCapture, producer: Producer, judge: ThreadPoolExecutor) -> str:
        """Judge and publish one capture; returns the outcome's label."""
        second, trial = capture.second, capture.trial
        if self._open.get(second.place) != trial:
            return "late"  # the trial went on meanwhile
        predictor = await self._predictor(second)
        if predictor is None:
            return "no-weights"
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(judge, self._examine, predictor, second, capture)
        self._budget.spend(found.spent_s)
        metrics.SHADOW_CPU.labels(second.place.line).inc(found.spent_s)
        judgement = CaptureJudgement.of(found.prediction, times=NO_TIME)
        if judgement.decision is Decision.UNKNOWN:
            return "misfit"
        serving = self._predictors.slots.peek(trial.serving)
        pair = make_pair(
            capture,
            judgement,
            spread=0.0 if serving is None else serving.manifest.spread,
            spent_s=found.spent_s,
            judged_at=self._clock.now(),
        )
        await producer.publish([Message(topic=SHADOW.name, key=str(second.place), value=encode(pair))])
        return "judged"

    def _examine(self, predictor: Predictor, release: ReleasePointer, capture: JudgedCapture) -> _Second:
        """Examine one image in the thread of second judgements."""
        began_s = time.thread_time()
        threshold = self._thresholds.of(release.place, release.weights)
        [prediction] = examine(predictor, release, threshold, [capture.image_HWC], capture.sizes)
        return _Second(prediction, time.thread_time() - began_s)

    async def _predictor(self, release: ReleasePointer) -> Predictor | None:
        """Return weights in memory; load them while there is room.

        They never displace weights in service.
        """
        slots, now_s = self._predictors.slots, self._clock.monotonic()
        if (predictor := slots.peek(release.weights)) is not None:
            return predictor
        if now_s < self._retry_s.get(release.weights, now_s):
            return None
        if slots.is_full:
            self._retry_s[release.weights] = now_s + RETRY_S
            log.warning("candidate_not_loaded", weights=release.weights, reason="memory for weights is full")
            return None
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._loader, slots.predictor, release.place, release.weights)
        except Exception as error:  # noqa: BLE001 - a candidate that can't be loaded stops nothing; it is tried again
            self._retry_s[release.weights] = now_s + RETRY_S
            log.warning("candidate_not_loaded", weights=release.weights, reason=str(error) or type(error).__name__)
            return None

    async def _tidy(self) -> None:
        """Drop candidates whose trial ended without a release."""
        now_s, loop = self._clock.monotonic(), asyncio.get_running_loop()
        for weights in [one for one, ended_s in self._ended_s.items() if now_s - ended_s >= KEPT_S]:
            del self._ended_s[weights]
            self._retry_s.pop(weights, None)
            await loop.run_in_executor(self._loader, self._predictors.slots.discard, weights)
