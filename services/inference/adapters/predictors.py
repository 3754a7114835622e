"""Weights in service: loaded and checked in parallel, swapped between batches.

The event loop takes requests and releases, one thread scores batches, and one thread loads weights. The weights in
service are one entry in ``_serving``, which the event loop changes while no batch runs.
"""

import asyncio
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import structlog

from services.inference import metrics
from services.inference.adapters.batcher import Batcher
from services.inference.adapters.examination import examine
from services.inference.adapters.limits import ServingLimits, ServingThreads
from services.inference.adapters.weights_loader import WeightsLoader
from services.inference.domain.judge import Prediction, UnknownReason
from services.inference.domain.releases import (
    LoadWeights,
    PlaceState,
    ReleasePointer,
    ReleaseTable,
    StopServing,
    plan,
)
from services.inference.ports import ServingWeights, ThresholdLookup
from siad.contracts.errors import TransientError
from siad.contracts.ids import WeightsId
from siad.contracts.normals_profile import SizeRule
from siad.contracts.place import Place
from siad.models.predictor import Predictor
from siad.models.runner.port import DeviceError
from siad.models.slots import LoadPredictor, Lookup, Slots
from siad.runtime.clock import Clock
from siad.runtime.metrics import WeightsInService
from siad.vision.images import Image
from siad.vision.threshold_in_use import ThresholdInUse, threshold_in_use

log = structlog.get_logger()

BatchKey = tuple[Place, SizeRule, ReleasePointer | None]  # the last: a trial's candidate; None: what serves


class HotSwapPredictors:
    """The port ``LinePredictors``, with hot swap and bounded memory.

    ``Slots`` bounds the models in memory.
    """

    def __init__(
        self,
        load: LoadPredictor,
        thresholds: ThresholdLookup,
        *,
        threads: ServingThreads,
        limits: ServingLimits,
        clock: Clock,
    ) -> None:
        self._thresholds = thresholds
        self.slots = Slots(load, limits.room, observe=_count)
        metrics.WEIGHTS_BYTES.set_function(lambda: self.slots.size_bytes)
        self._clock = clock
        self._loader = WeightsLoader(self.slots, executor=threads.loader, clock=clock)
        self._releases = ReleaseTable()
        self._serving: dict[Place, ReleasePointer] = {}
        self._previous: dict[Place, ReleasePointer] = {}  # replaced by weights of the same kind, not withdrawn since
        self._swaps: dict[Place, int] = {}
        self._due_s: dict[Place, float] = {}  # when to plan again, by the monotonic clock
        self._due_changed = asyncio.Event()
        self._loading = asyncio.Lock()  # there is one loading thread
        self._in_service = WeightsInService("inference")
        self._batcher = Batcher[BatchKey, Image, Prediction | None](
            self._score, executor=threads.scorer, batch_max=limits.batch_max, batch_wait_s=limits.batch_wait_s
        )
        self._longest_pause_s = 0.0
        self.is_confirmed = False  # the releases are those of topics and store, not of an earlier process

    def restore(self, releases: Iterable[ReleasePointer]) -> None:
        """Begin with the releases that an earlier process knew, and load them."""
        for release in releases:
            self._releases.restore(release)
            self._plan_at(release.place, self._clock.monotonic())

    def confirm(self) -> None:
        """Drop restored releases that topics and store, now read, lack."""
        for place in self._releases.drop_unconfirmed():
            self._plan_at(place, self._clock.monotonic())
        self.is_confirmed = True

    def releases(self) -> tuple[ReleasePointer, ...]:
        """Return the newest revision of every release pointer."""
        return self._releases.all()

    def weights_in_use(self) -> frozenset[WeightsId]:
        """Return the weights that serve, and those served before."""
        return frozenset(one.weights for one in (*self._serving.values(), *self._previous.values()))

    def serving_weights(self, place: Place) -> WeightsId | None:
        """Return the weights in service at a place; None where none are."""
        release = self._serving.get(place)
        return None if release is None else release.weights

    @property
    def is_any_loaded(self) -> bool:
        """Whether some weights are in memory."""
        return bool(self.slots.loaded())

    @property
    def longest_pause_s(self) -> float:
        """Longest pause by a swap since the process started, in seconds."""
        return self._longest_pause_s

    def on_release(self, release: ReleasePointer) -> None:
        """Record a release; an older revision changes nothing."""
        if not self._releases.apply(release):
            return
        self._loader.failures.clear_superseded(release)
        previous = self._previous.get(release.place)
        if release.withdrawn and previous is not None and previous.kind is release.kind:
            del self._previous[release.place]
        self._plan_at(release.place, self._clock.monotonic())

    async def prepare(self, place: Place) -> UnknownReason | None:
        """Load the weights of this place; the reason if none can judge.

        Raises:
            TransientError: the weights can't be loaded now; they will be tried again.
        """
        if self._is_answered(place):
            return None
        if place not in self._serving and not self._releases.candidates(place):
            return UnknownReason.NO_WEIGHTS
        async with self._loading:
            await self._bring_up(place)
        if self._is_answered(place):
            return None
        if (reason := self._loader.failures.transient_reason(place)) is not None:
            msg = f"no weights of {place} can be loaded now: {reason}"
            raise TransientError(msg)
        return UnknownReason.WEIGHTS_UNAVAILABLE if self._releases.candidates(place) else UnknownReason.NO_WEIGHTS

    async def predict(self, image: Image, place: Place, *, sizes: SizeRule = SizeRule.NORMALS) -> Prediction | None:
        """Examine one image by the weights in service at batch start.

        Returns None if there are none.

        Raises:
            TransientError: out of memory, or the weights left memory and can't be loaded back.
        """
        return await self._predict((place, sizes, None), image)

    async def predict_by(
        self, candidate: ReleasePointer, image: Image, *, sizes: SizeRule = SizeRule.NORMALS
    ) -> Prediction | None:
        """Examine one image by weights of a trial, on the answer path.

        Returns None where they are not in memory: nothing waits for a load of them.
        """
        return await self._predict((candidate.place, sizes, candidate), image)

    async def _predict(self, key: BatchKey, image: Image) -> Prediction | None:
        place, began_s = key[0], self._clock.monotonic()
        answer = await self._batcher.submit(key, image)
        if answer is not None and answer.darkness:
            metrics.DARK.labels(place.line).inc()
        return answer and replace(answer, score_s=self._clock.monotonic() - began_s)

    async def run(self) -> None:
        """Score batches and follow the releases, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._batcher.run())
            tasks.create_task(self._follow())

    async def warm(self) -> None:
        """Load weights while there is room; others load on first use."""
        for place in list(self._releases.places()):
            if self.slots.is_full:
                return
            try:
                await self.prepare(place)
            except TransientError:
                continue  # logged by the loader, and tried again

    def serving(self) -> list[ServingWeights]:
        """List the weights in service, by line and product."""
        loaded = set(self.slots.loaded())
        return [
            ServingWeights(
                release=release,
                previous=self.slots.previous_weights(place),
                is_loaded=release.weights in loaded,
                swaps=self._swaps.get(place, 0),
                runner="" if (predictor := self.slots.peek(release.weights)) is None else predictor.runner_name,
                threshold=self._threshold_of(release),
            )
            for place, release in sorted(self._serving.items())
        ]

    def _threshold_of(self, release: ReleasePointer) -> ThresholdInUse | None:
        if (predictor := self.slots.peek(release.weights)) is None:
            return None
        return threshold_in_use(predictor.manifest, self._thresholds.of(release.place, release.weights))

    def _score(self, key: BatchKey, images: Sequence[Image]) -> list[Prediction | None]:
        """Examine one batch by one set of weights, in the scoring thread."""
        place, sizes, candidate = key
        release = candidate or self._serving.get(place)
        if release is None:
            return [None] * len(images)
        threshold = self._thresholds.of(place, release.weights)  # once a batch: it may change until the next one
        predictor = self._predictor_of(release) if candidate is None else self.slots.peek(release.weights)
        if predictor is None:  # the candidate made room for others
            return [None] * len(images)
        with metrics.BATCH_SECONDS.time():
            predictions = examine(predictor, release, threshold, images, sizes)
        metrics.BATCH_IMAGES.observe(len(images))
        return list(predictions)

    def _predictor_of(self, release: ReleasePointer) -> Predictor:
        """Return the model of a release, loading it again if evicted.

        Whatever fails, the capture is retried; ``prepare`` then loads the weights and records what the failure means.
        """
        try:
            return self.slots.predictor(release.place, release.weights)
        except DeviceError:
            raise
        except Exception as error:
            msg = f"weights {release.weights[:12]} of {release.place} left memory and were not loaded back: {error!r}"
            raise TransientError(msg) from error

    async def _follow(self) -> None:
        """Plan again for every place with a changed release or due retry."""
        while True:
            await self._wait_until_due()
            now_s = self._clock.monotonic()
            for place in sorted(place for place, due_s in self._due_s.items() if due_s <= now_s):
                del self._due_s[place]
                await self._follow_one(place)

    async def _wait_until_due(self) -> None:
        while (wait_s := min(self._due_s.values(), default=math.inf) - self._clock.monotonic()) > 0:
            self._due_changed.clear()
            waits: list[asyncio.Task[Any]] = [asyncio.create_task(self._due_changed.wait())]
            if wait_s < math.inf:
                waits.append(asyncio.create_task(self._clock.sleep(wait_s)))
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()

    async def _follow_one(self, place: Place) -> None:
        """Bring one place up to date, unless unused while memory is scarce."""
        serving, loaded = self._serving.get(place), self.slots.loaded()
        if (serving is None and self.slots.is_full) or (serving and serving.weights not in loaded):
            return  # loaded for the line's next capture
        async with self._loading:
            await self._bring_up(place)

    async def _bring_up(self, place: Place) -> None:
        """Execute the plan, and schedule retries; the caller holds ``_loading``."""
        while (action := self._plan(place)) is not None:
            if isinstance(action, LoadWeights):
                load_s = await self._loader.load(action.release, serving=self._serving.get(place))
                if load_s is not None:
                    await self._serve(action.release, load_s=load_s)
            else:
                await self._stop(place)
        if (retry_s := self._loader.failures.next_retry_s(place, now_s=self._clock.monotonic())) is not None:
            self._plan_at(place, retry_s)

    def _plan(self, place: Place) -> LoadWeights | StopServing | None:
        serving = self._serving.get(place)
        return plan(
            PlaceState(
                candidates=self._releases.candidates(place),
                serving=serving,
                is_loaded=serving is not None and serving.weights in self.slots.loaded(),
                previous=self._previous.get(place),
                failed=self._loader.failures.not_due(place, now_s=self._clock.monotonic()),
            )
        )

    def _plan_at(self, place: Place, due_s: float) -> None:
        self._due_s[place] = due_s
        self._due_changed.set()

    def _is_answered(self, place: Place) -> bool:
        serving = self._serving.get(place)
        return serving is not None and serving.weights in self.slots.loaded()

    async def _serve(self, release: ReleasePointer, *, load_s: float) -> None:
        """Put loaded weights into service; a swap only where they replace others."""
        place = release.place
        before = self._serving.get(place)
        if before is not None and before.weights == release.weights:
            self._serving[place] = release
            return
        async with self._batcher.between_batches():
            began_s = self._clock.monotonic()
            self.slots.swap(place, release.weights)  # in memory already: one reference
            self._serving[place] = release
            pause_s = self._clock.monotonic() - began_s
        self._in_service.put(*place, kind=release.kind.value, weights=release.weights)
        if before is not None and before.kind is release.kind:
            self._previous[place] = before
        else:
            self._previous.pop(place, None)
        self._report_swap(release, before, load_s=load_s, pause_s=pause_s)
        await self._loader.drop_replaced()

    def _report_swap(
        self, release: ReleasePointer, before: ReleasePointer | None, *, load_s: float, pause_s: float
    ) -> None:
        place = release.place
        fields = {
            "line": place.line,
            "product": place.product,
            "kind": release.kind.value,
            "weights": release.weights,
            "revision": release.revision,
            "load_s": round(load_s, 3),
        }
        if before is None:
            log.info("weights_loaded", **fields)
            return
        self._swaps[place] = self._swaps.get(place, 0) + 1
        self._longest_pause_s = max(self._longest_pause_s, pause_s)
        metrics.SWAPS.labels(place.line, release.kind.value).inc()
        metrics.SWAP_PAUSE_SECONDS.observe(pause_s)
        metrics.SWAP_PAUSE_LONGEST_SECONDS.set(self._longest_pause_s)
        log.info("weights_swapped", before=before.weights, pause_ms=round(pause_s * 1000, 3), **fields)

    async def _stop(self, place: Place) -> None:
        async with self._batcher.between_batches():
            before = self._serving.pop(place)
            self.slots.withdraw(place)
        self._in_service.drop(*place)
        log.warning("weights_gone", line=place.line, product=place.product, weights=before.weights)


def _count(lookup: Lookup) -> None:
    metrics.WEIGHTS_LOOKUPS.labels(lookup.value).inc()
