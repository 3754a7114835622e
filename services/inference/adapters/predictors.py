"""The models of all lines: what judges now, loaded beside, checked, swapped between two batches.

Three threads of work meet here: captures ask for a judgement (event loop), batches are scored (one scoring thread),
weights are loaded (one loading thread). What serves is one entry in ``_serving``, changed in the event loop while no
batch runs.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import structlog

from services.inference import metrics
from services.inference.adapters.batcher import Batcher
from services.inference.domain.judge import Prediction
from services.inference.domain.releases import LoadWeights, ReleasePointer, ReleaseTable, StopServing, plan
from siad.contracts.errors import CorruptError, MissingError, TransientError, UnusableWeightsError
from siad.contracts.ids import WeightsId
from siad.contracts.place import Place
from siad.models.slots import LoadPredictor, Slots
from siad.runtime.backoff import Backoff
from siad.runtime.clock import Clock
from siad.runtime.metrics import WeightsInService
from siad.vision.decide import Finding
from siad.vision.images import Image

log = structlog.get_logger()

# What a bundle raises that can never serve: digests, golden outputs, versions, shapes that torch does not take.
REFUSALS = (UnusableWeightsError, CorruptError, MissingError, ValueError, KeyError, RuntimeError)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingWeights:
    """What serves one line and product, for people and the demo to see."""

    release: ReleasePointer
    previous: str | None  # weights that served before
    is_hot: bool  # in memory; else it is loaded when its line next asks
    swaps: int


class HotSwapPredictors:
    """Every line's weights, at most so many in memory; the port ``Examiner``."""

    def __init__(
        self,
        load: LoadPredictor,
        *,
        models_max: int,
        scorer: Executor,
        loader: Executor,
        clock: Clock,
        batch_max: int,
        batch_wait_s: float,
    ) -> None:
        self._slots = Slots(load, models_max=models_max)
        self._models_max = models_max
        self._loader = loader
        self._clock = clock
        self._backoff = Backoff()
        self._releases = ReleaseTable()
        self._serving: dict[Place, ReleasePointer] = {}
        self._refused: set[WeightsId] = set()
        self._swaps: dict[Place, int] = {}
        self._stale: set[Place] = set()  # may have something better to load
        self._news = asyncio.Event()
        self._loading = asyncio.Lock()  # there is one loading thread
        self._in_service = WeightsInService("inference")
        self._batcher = Batcher[Place, Image, tuple[ReleasePointer, float, Finding] | None](
            self._score, executor=scorer, batch_max=batch_max, batch_wait_s=batch_wait_s
        )
        self.longest_pause_s = 0.0

    def learn(self, release: ReleasePointer) -> None:
        """Take in where a pointer stands; old news does nothing."""
        if self._releases.apply(release):
            self._stale.add(release.place)
            self._news.set()

    async def has_weights(self, line: str, product: str) -> bool:
        """Whether something can judge here; waits for weights that exist and are not in memory yet.

        Raises:
            TransientError: they exist and can't be read now.
        """
        place = Place(line, product)
        serving = self._serving.get(place)
        if serving is None and self._plan(place) is None:
            return False
        if serving is None or serving.weights not in self._slots.hot():
            async with self._loading:
                await self._bring_up(place)
        return place in self._serving

    async def examine(self, image: Image, *, line: str, product: str) -> Prediction | None:
        """Examine one image by what judges here when its batch begins; None where nothing does."""
        began = self._clock.monotonic()
        answer = await self._batcher.submit(Place(line, product), image)
        if answer is None:
            return None
        release, threshold, finding = answer
        score_s = self._clock.monotonic() - began
        return Prediction(finding=finding, release=release, threshold=threshold, score_s=score_s)

    async def run(self) -> None:
        """Score batches and follow the releases, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._batcher.run())
            tasks.create_task(self._follow())

    async def warm(self, *, places_max: int) -> None:
        """Load what is known, for so many lines and products; the rest comes when it is asked for."""
        for place in list(self._releases.places())[:places_max]:
            try:
                await self.has_weights(place.line, place.product)
            except TransientError:
                continue  # told already, and tried again by whoever needs it

    def serving(self) -> list[ServingWeights]:
        """What serves now, by line and product."""
        hot = set(self._slots.hot())
        return [
            ServingWeights(
                release=release,
                previous=self._slots.previous_weights(*place),
                is_hot=release.weights in hot,
                swaps=self._swaps.get(place, 0),
            )
            for place, release in sorted(self._serving.items())
        ]

    def _score(self, place: Place, images: Sequence[Image]) -> list[tuple[ReleasePointer, float, Finding] | None]:
        """Score one batch, in the scoring thread, all by the same weights."""
        release = self._serving.get(place)
        if release is None:
            return [None] * len(images)
        examiner = self._slots.examiner(*place, release.weights)  # hot, or had to go a moment ago
        with metrics.BATCH_SECONDS.time():
            findings = examiner.examine(images)
        metrics.BATCH_IMAGES.observe(len(images))
        return [(release, examiner.manifest.image_threshold, finding) for finding in findings]

    async def _follow(self) -> None:
        attempt = 0
        while True:
            await self._news.wait()
            self._news.clear()
            failed = {place for place in self._take_stale() if not await self._follow_one(place)}
            attempt = attempt + 1 if failed else 0
            if failed:
                await self._clock.sleep(self._backoff.delay_s(attempt - 1))
                self._stale |= failed
                self._news.set()

    def _take_stale(self) -> list[Place]:
        stale, self._stale = sorted(self._stale), set()
        return stale

    async def _follow_one(self, place: Place) -> bool:
        """Bring one line and product up to date; False where it must be tried again."""
        serving, hot = self._serving.get(place), self._slots.hot()
        if (serving is None and len(hot) >= self._models_max) or (serving is not None and serving.weights not in hot):
            return True  # not in use now, and room is scarce: it is loaded when its line next asks
        try:
            async with self._loading:
                await self._bring_up(place)
        except TransientError:
            return False
        return True

    async def _bring_up(self, place: Place) -> None:
        """Do what the plan says until it says nothing; ``_loading`` is held.

        Raises:
            TransientError: something better exists and can't be read now; what served goes on.
        """
        while True:
            serving = self._serving.get(place)
            action = self._plan(place)
            if isinstance(action, LoadWeights):
                await self._load(action.release)
            elif isinstance(action, StopServing):
                await self._stop(place)
            elif serving is not None and serving.weights not in self._slots.hot():  # it had to make room
                await self._load(serving)
            else:
                return

    def _plan(self, place: Place) -> LoadWeights | StopServing | None:
        return plan(self._releases.candidates(place), serving=self._serving.get(place), refused=self._refused)

    async def _load(self, release: ReleasePointer) -> None:
        """Load weights beside what serves; swap, or refuse them."""
        began = self._clock.monotonic()
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._loader, self._slots.examiner, *release.place, release.weights)
        except TransientError as error:
            self._tell_failure(release, error, fate="transient")
            msg = f"weights {release.weights} of {release.place} can't be read now: {error}"
            raise TransientError(msg) from error
        except REFUSALS as error:
            self._refused.add(release.weights)
            if self._serving.get(release.place) == release:  # made room, and was damaged since
                await self._stop(release.place)
            self._tell_failure(release, error, fate="refused")
            return
        load_s = self._clock.monotonic() - began
        metrics.LOAD_SECONDS.labels(release.kind.value).observe(load_s)
        if self._serving.get(release.place) != release:
            await self._swap(release, load_s=load_s)

    async def _swap(self, release: ReleasePointer, *, load_s: float) -> None:
        place = release.place
        async with self._batcher.between_batches():
            began = self._clock.monotonic()
            self._slots.swap(*place, release.weights)  # hot: one reference
            before = self._serving.get(place)
            self._serving[place] = release
            pause_s = self._clock.monotonic() - began
        self._in_service.put(*place, kind=release.kind.value, weights=release.weights)
        told = {"kind": release.kind.value, "weights": release.weights, "revision": release.revision}
        if before is None:
            log.info("weights_loaded", line=place.line, product=place.product, load_s=round(load_s, 3), **told)
            return
        self._swaps[place] = self._swaps.get(place, 0) + 1
        self.longest_pause_s = max(self.longest_pause_s, pause_s)
        metrics.SWAPS.labels(place.line, release.kind.value).inc()
        metrics.SWAP_PAUSE_SECONDS.observe(pause_s)
        metrics.SWAP_PAUSE_LONGEST_SECONDS.set(self.longest_pause_s)
        log.info(
            "weights_swapped",
            line=place.line,
            product=place.product,
            before=before.weights,
            pause_ms=round(pause_s * 1000, 3),
            load_s=round(load_s, 3),
            **told,
        )

    async def _stop(self, place: Place) -> None:
        async with self._batcher.between_batches():
            before = self._serving.pop(place)
            self._slots.withdraw(*place)
        self._in_service.drop(*place)
        log.warning("weights_gone", line=place.line, product=place.product, weights=before.weights)

    def _tell_failure(self, release: ReleasePointer, error: Exception, *, fate: str) -> None:
        place = release.place
        metrics.LOAD_FAILURES.labels(place.line, release.kind.value, fate).inc()
        serving = self._serving.get(place)
        log.error(
            "weights_refused" if fate == "refused" else "weights_not_loaded",
            line=place.line,
            product=place.product,
            kind=release.kind.value,
            weights=release.weights,
            revision=release.revision,
            reason=str(error) or type(error).__name__,
            still_serving=serving.weights if serving else None,
        )
