"""Composition root of inference: settings, adapters, handlers, routes, tasks."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from services.inference.access import ROUTES
from services.inference.adapters.contact import Contact
from services.inference.adapters.dead_letters import DeadLetterVerdicts
from services.inference.adapters.drift import DriftWatch
from services.inference.adapters.known_state import LocalState, StateSources
from services.inference.adapters.limits import ServingLimits, ServingThreads
from services.inference.adapters.lines import KnownLines
from services.inference.adapters.load import BundleLoader
from services.inference.adapters.predictors import HotSwapPredictors
from services.inference.adapters.probes import LiveProbes
from services.inference.adapters.release_listener import PointerPoller, ReleaseListener
from services.inference.adapters.spool import VerdictSpool
from services.inference.adapters.store import DecodingThreads, StoredImages, StoredMasks
from services.inference.adapters.trials import Trials
from services.inference.adapters.verdicts import CountingBus
from services.inference.adapters.warm_up import WarmUp
from services.inference.adapters.weights_cache import WeightsCache
from services.inference.domain.memory import room_for_weights
from services.inference.handlers import StreamDependencies, on_dead_letter, on_image_stored
from services.inference.routes import InferenceDependencies, make_router
from services.inference.settings import InferenceSettings
from siad.contracts.corrections import ThresholdSet
from siad.contracts.events import ImageStored, LineChanged, SegmenterReleased, TeacherReleased
from siad.contracts.topics import IMAGE, LINE, SEGMENTER, SHADOW, TEACHER, THRESHOLD, TRIAL, VERDICT, dead_letter, retry
from siad.contracts.trials import TrialChanged
from siad.erasure.deletions import AsyncDeletions
from siad.models.runner.compiled_files import CompiledFiles, keep_compiled
from siad.models.runner.open import limit_threads
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.port import Blobs
from siad.runtime.boot import boot, connect, protect
from siad.runtime.bus.port import Bus
from siad.runtime.consumer import Limits, consume, event_route, with_retry
from siad.runtime.container_memory import memory_limit_bytes
from siad.runtime.state_table import StateTable
from siad.runtime.store.registry import Registry
from siad.runtime.thresholds import KnownThresholds
from siad.runtime.worker import StageProcess

NAME: Final = "inference"
TOPICS: Final = (LINE, IMAGE, TEACHER, SEGMENTER, THRESHOLD, TRIAL, SHADOW, VERDICT, dead_letter(NAME), retry(NAME))


def main() -> None:
    """Run inference with the settings of its environment until a signal."""
    settings = InferenceSettings.load()
    boot(NAME, settings, partial(assemble, settings=settings))


@asynccontextmanager
async def assemble(stage: StageProcess, settings: InferenceSettings, *, bus: Bus, blobs: Blobs) -> AsyncIterator[None]:
    """Fill in the stage; on exit close threads and batches."""
    limit_threads(settings.torch_threads)
    async with (
        _counting(stage, settings, bus) as counting,
        connect(stage, counting, blobs, topics=TOPICS, store_threads=settings.max_in_flight) as store,
        _predicting(stage, settings, blobs) as serving,
    ):
        protect(stage, store, ROUTES)
        _wire(stage, settings, bus=counting, store=store, serving=serving)
        yield


@asynccontextmanager
async def _counting(stage: StageProcess, settings: InferenceSettings, bus: Bus) -> AsyncIterator[CountingBus]:
    """Count verdicts, and spool those that the broker refuses."""
    if settings.cache_dir is None:
        yield CountingBus(bus, stage.clock)
        return
    path = settings.cache_dir / "spool.sqlite"
    with closing(VerdictSpool(path, verdicts_max=settings.spool_max, clock=stage.clock)) as spool:
        stage.health.checks["spool"] = spool.check
        yield CountingBus(bus, stage.clock, spool)


@dataclass(frozen=True, slots=True)
class _Judges:
    """Predictors, and the thresholds by which they judge."""

    predictors: HotSwapPredictors
    thresholds: StateTable[ThresholdSet]
    decoder: DecodingThreads
    cache: WeightsCache | None
    trials: Trials


@asynccontextmanager
async def _predicting(stage: StageProcess, settings: InferenceSettings, blobs: Blobs) -> AsyncIterator[_Judges]:
    """Run the predictors until all tasks have drained.

    If they fail, the stage stops.
    """
    limits = ServingLimits(
        room=room_for_weights(
            models_max=settings.models_max, weights_mb=settings.weights_mb, container_bytes=memory_limit_bytes()
        ),
        batch_max=settings.batch_max,
        batch_wait_s=settings.batch_wait_s,
    )
    cache = None
    if settings.cache_dir is not None:
        cache = WeightsCache(settings.cache_dir / "weights", bytes_max=settings.cache_mb * 2**20)
        keep_compiled(CompiledFiles(settings.cache_dir / "compiled"))
    decoder = DecodingThreads(min(settings.direct_max, 2), clock=stage.clock)
    with ThreadPoolExecutor(1, "score") as scorer, ThreadPoolExecutor(1, "load") as loader, closing(decoder):
        threads = ServingThreads(scorer=scorer, loader=loader)
        thresholds = StateTable(THRESHOLD, ThresholdSet, stage=NAME)
        predictors = HotSwapPredictors(
            BundleLoader(Registry(blobs, cache=cache), runner=settings.runner),
            KnownThresholds(thresholds),
            threads=threads,
            limits=limits,
            clock=stage.clock,
        )
        trials = Trials(
            predictors, KnownThresholds(thresholds), loader=loader, share=settings.shadow_cpu_share, clock=stage.clock
        )
        running = asyncio.create_task(predictors.run(), name="predictors")
        running.add_done_callback(lambda done: None if done.cancelled() else stage.stop.set())
        try:
            yield _Judges(predictors, thresholds, decoder, cache, trials)
        finally:
            running.cancel()
            await asyncio.wait([running])
    if not running.cancelled() and (bug := running.exception()) is not None:
        raise bug


def _wire(
    stage: StageProcess, settings: InferenceSettings, *, bus: CountingBus, store: AsyncBlobs, serving: _Judges
) -> None:
    """Add checks, routes and tasks to the stage."""
    predictors, thresholds = serving.predictors, serving.thresholds
    listener = ReleaseListener(predictors.on_release)
    lines = StateTable(LINE, LineChanged, stage=NAME)
    teachers = StateTable(TEACHER, TeacherReleased, stage=NAME, on_change=listener.on_teacher)
    segmenters = StateTable(SEGMENTER, SegmenterReleased, stage=NAME, on_change=listener.on_segmenter)
    pointers = PointerPoller(store, predictors.on_release)
    known_lines, contact = KnownLines(lines, store), Contact(stage.clock)
    sources = StateSources(
        lines=lines, thresholds=thresholds, pointers=pointers,
        predictors=predictors, contact=contact, store=store.uri(""),
    )  # fmt: skip
    state = _restore_state(stage, LocalState(sources, settings.cache_dir, serving.cache, stage.clock), contact)
    warm_up = WarmUp((lines, teachers, segmenters, thresholds), pointers, predictors)
    drift = DriftWatch(store, clock=stage.clock)
    probes = LiveProbes(predictors, share=settings.probe_share, clock=stage.clock)
    ports = StreamDependencies(
        lines=known_lines,
        images=StoredImages(store, clock=stage.clock),
        predictors=predictors,
        masks=StoredMasks(store),
        erased=AsyncDeletions(store, clock=stage.clock),
        clock=stage.clock,
        spool=bus.spool,
        drift=drift,
        probes=probes,
        trials=serving.trials,
    )
    dependencies = InferenceDependencies(
        lines=known_lines,
        predictors=predictors,
        weights=predictors,
        state=state,
        decoder=serving.decoder,
        clock=stage.clock,
        settings=settings,
        turns=asyncio.Semaphore(settings.direct_max),
    )
    stage.app.include_router(make_router(dependencies))
    tables: dict[str, StateTable[Any]] = {
        "lines": lines,
        "teachers": teachers,
        "segmenters": segmenters,
        "thresholds": thresholds,
        "trials": StateTable(TRIAL, TrialChanged, stage=NAME, on_change=serving.trials.on_trial),
    }
    _follow(stage, bus, tables)
    stage.health.checks |= {"pointers": pointers.check, "weights": warm_up.check}
    stage.tasks |= {
        "pointers": partial(pointers.run, stage.stop, every_s=settings.poll_s),
        "known-state": partial(state.run, stage.stop, every_s=settings.poll_s),
        "drift": partial(drift.run, stage.stop),
        "probes": partial(probes.run, stage.stop),
        "shadow": partial(serving.trials.run, bus, stage.stop),
        "images": partial(_judge_stream, stage, settings, bus, ports, warm_up),
    }


def _follow(stage: StageProcess, bus: CountingBus, tables: Mapping[str, StateTable[Any]]) -> None:
    """Read state topics, and be ready once they are read."""
    stage.health.checks |= {name: table.check for name, table in tables.items()}
    stage.tasks |= {name: partial(table.follow, bus, stage.stop) for name, table in tables.items()}


def _restore_state(stage: StageProcess, state: LocalState, contact: Contact) -> LocalState:
    """Begin with an earlier process's state, and serve by it in outages."""
    stage.health.checks |= {name: contact.watched(name, stage.health.checks[name]) for name in ("bus", "store")}
    state.restore()
    stage.health.may_serve = state.may_serve
    return state


async def _judge_stream(
    stage: StageProcess, settings: InferenceSettings, bus: Bus, ports: StreamDependencies, warm_up: WarmUp
) -> None:
    if not await stage.unless_stopped(warm_up.run()):
        return
    await consume(
        bus,
        with_retry(
            {IMAGE.name: event_route(ImageStored, partial(on_image_stored, ports=ports), to=VERDICT)}, stage=NAME
        ),
        stage.context,
        limits=replace(
            Limits.of(settings, max_in_flight=settings.max_in_flight, handler_timeout_s=settings.handler_timeout_s),
            works_ahead=ports.spool is not None,
            delivery=settings.delivery,
        ),
        on_poison=DeadLetterVerdicts(stage.clock, partial(on_dead_letter, clock=stage.clock)).on_poison,
    )
