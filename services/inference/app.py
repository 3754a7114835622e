"""The composition root of inference: settings, adapters, handlers, routes, tasks."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import structlog
import torch

from services.inference import handlers
from services.inference.adapters.lines import KnownLines
from services.inference.adapters.load import BundleLoader
from services.inference.adapters.predictors import HotSwapPredictors, ServingLimits, ServingThreads
from services.inference.adapters.release_listener import PointerPoller, release_of_segmenter, release_of_teacher
from services.inference.adapters.store import StoredImages, StoredMasks
from services.inference.adapters.verdicts import CountingBus
from services.inference.routes import InferenceDependencies, make_router
from services.inference.settings import InferenceSettings
from siad.contracts.codec import encode
from siad.contracts.errors import PoisonError, TransientError
from siad.contracts.events import ImageStored, LineChanged, SegmenterReleased, TeacherReleased, VerdictGiven
from siad.contracts.partial_image import read_image
from siad.contracts.topics import IMAGE, LINE, SEGMENTER, TEACHER, VERDICT, dead_letter, retry
from siad.erasure.deletions import AsyncDeletions
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.port import Blobs
from siad.runtime.boot import boot, connect
from siad.runtime.bus.port import Bus, Message, Record
from siad.runtime.consumer import Limits, bind_event, consume, event_route, line_of, with_retry
from siad.runtime.state_table import StateTable
from siad.runtime.store.registry import Registry
from siad.runtime.worker import StageProcess

log = structlog.get_logger()

NAME = "inference"


def main() -> None:
    """Run inference with the settings of its environment until a signal."""
    settings = InferenceSettings.load()
    boot(NAME, settings, partial(assemble, settings=settings))


@asynccontextmanager
async def assemble(stage: StageProcess, settings: InferenceSettings, *, bus: Bus, blobs: Blobs) -> AsyncIterator[None]:
    """Fill in the stage; on exit close threads and batches."""
    torch.set_num_threads(settings.torch_threads)
    counting = CountingBus(bus, stage.clock)
    topics = [LINE, IMAGE, TEACHER, SEGMENTER, VERDICT, dead_letter(NAME), retry(NAME)]
    connected = connect(stage, counting, blobs, topics=topics, store_threads=settings.max_in_flight)
    with ThreadPoolExecutor(1, "score") as scorer, ThreadPoolExecutor(1, "load") as loader:
        async with connected as store:
            models = HotSwapPredictors(
                BundleLoader(Registry(blobs)),
                threads=ServingThreads(scorer=scorer, loader=loader),
                limits=ServingLimits(
                    models_max=settings.models_max, batch_max=settings.batch_max, batch_wait_s=settings.batch_wait_s
                ),
                clock=stage.clock,
            )
            _InferenceTasks(stage, settings, counting, store, models).wire()
            scoring = asyncio.create_task(models.run(), name="models")
            scoring.add_done_callback(partial(_end_with, stage))
            try:
                yield
            finally:
                scoring.cancel()
                await asyncio.wait([scoring])
    if not scoring.cancelled() and (bug := scoring.exception()) is not None:
        raise bug


def _end_with(stage: StageProcess, scoring: "asyncio.Task[None]") -> None:
    """Scoring outlives the tasks, which drain through it; should it fall, everything ends."""
    if not scoring.cancelled():
        stage.stop.set()


class _InferenceTasks:
    """The tasks of the stage, and what they share."""

    def __init__(
        self, stage: StageProcess, settings: InferenceSettings, bus: Bus, store: AsyncBlobs, models: HotSwapPredictors
    ) -> None:
        self.stage, self.settings, self.bus, self.store, self.models = stage, settings, bus, store, models
        self.lines = StateTable(LINE, LineChanged, stage=NAME)
        self.teachers = StateTable(TEACHER, TeacherReleased, stage=NAME, on_change=self._on_teacher)
        self.segmenters = StateTable(SEGMENTER, SegmenterReleased, stage=NAME, on_change=self._on_segmenter)
        self.pointers = PointerPoller(store, models.on_release)
        self.known_lines = KnownLines(self.lines, store)
        self.images, self.masks = StoredImages(store), StoredMasks(store)
        self.deletions = AsyncDeletions(store, clock=stage.clock)
        self.is_warm = False

    def wire(self) -> None:
        """Hang everything into the stage."""
        tables: dict[str, StateTable[Any]] = {
            "lines": self.lines,
            "teachers": self.teachers,
            "segmenters": self.segmenters,
        }
        self.stage.health.checks |= {name: table.check for name, table in tables.items()}
        self.stage.health.checks |= {
            "pointers": self.pointers.check,
            "weights": self._check_warm,
        }
        for name, table in tables.items():
            self.stage.tasks[name] = partial(table.follow, self.bus, self.stage.stop)
        self.stage.tasks["pointers"] = partial(self.pointers.run, self.stage.stop, every_s=self.settings.poll_s)
        self.stage.tasks["images"] = self._judge_stream
        desk = InferenceDependencies(
            lines=self.known_lines,
            models=self.models,
            blobs=self.store,
            clock=self.stage.clock,
            settings=self.settings,
            turns=asyncio.Semaphore(self.settings.direct_max),
        )
        self.stage.app.include_router(make_router(desk))

    async def _judge_stream(self) -> None:
        """Judge the stream, once it is known what to judge by: before, every verdict would be UNKNOWN."""
        if not await self.stage.unless_stopped(self._warm()):
            return
        limits = Limits.of(
            self.settings,
            max_in_flight=self.settings.max_in_flight,
            handler_timeout_s=self.settings.handler_timeout_s,
        )
        await consume(
            self.bus,
            with_retry({IMAGE.name: event_route(ImageStored, self._on_image, to=VERDICT)}, stage=NAME),
            self.stage.context,
            limits=limits,
            on_poison=self._on_poison,
        )

    async def _warm(self) -> None:
        for table in (self.lines, self.teachers, self.segmenters):
            await table.wait_ready()
        await self.pointers.wait_read()
        await self.models.warm(places_max=self.settings.models_max // 2)
        self.is_warm = True
        log.info("warm", weights=len(self.models.serving()))

    async def _check_warm(self) -> None:
        if not self.is_warm:
            msg = "the weights of the lines are not loaded yet"
            raise TransientError(msg)

    async def _on_image(self, event: ImageStored) -> list[VerdictGiven]:
        handle = partial(
            handlers.on_image_stored,
            event,
            lines=self.known_lines,
            images=self.images,
            examiner=self.models,
            masks=self.masks,
            clock=self.stage.clock,
        )
        verdicts = await self.deletions.unless_forgotten(event, handle)
        for verdict in verdicts:
            log.info("judged", decision=verdict.decision.value, reason=verdict.reason, weights=verdict.weights[:12])
        return verdicts

    async def _on_poison(self, record: Record, _: PoisonError) -> Sequence[Message]:
        """Answer for a buried capture, as far as it can be named at all."""
        clock, key = self.stage.clock, record.key.decode("utf-8", "replace")
        event = read_image(record.value, line=line_of(record.key), now=clock.now())
        if event is None:
            return []
        bind_event(event)
        verdicts = handlers.on_undecodable(event, clock=clock)
        return [Message(topic=VERDICT.name, key=key, value=encode(verdict)) for verdict in verdicts]

    def _on_teacher(self, _: str, event: TeacherReleased | None) -> None:
        if event is not None:  # a tombstone says nothing of the store: the pointer does
            self.models.on_release(release_of_teacher(event))

    def _on_segmenter(self, _: str, event: SegmenterReleased | None) -> None:
        if event is not None:
            self.models.on_release(release_of_segmenter(event))
