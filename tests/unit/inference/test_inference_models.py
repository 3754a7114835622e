"""The weights of all lines: load beside, refuse, retry, swap between batches, fall back."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from services.inference.adapters.limits import ServingLimits, ServingThreads
from services.inference.adapters.predictors import HotSwapPredictors
from services.inference.domain.judge import Prediction, UnknownReason
from services.inference.domain.releases import ReleasePointer
from siad.contracts.errors import DeniedError, OutOfMemoryError, TransientError, UnusableWeightsError
from siad.contracts.events import WeightsKind
from siad.contracts.ids import WeightsId
from siad.contracts.normals_profile import SizeRule
from siad.contracts.place import Place
from siad.models.runner.port import DeviceError
from siad.models.slots import Room
from siad.runtime.metrics import WEIGHTS
from siad.runtime.testing.clock import FakeClock
from siad.vision.decide import Finding, decide
from tests.manifests import make_manifest
from tests.thresholds import FixedThresholds, make_threshold_set

IMAGE = np.zeros((4, 4, 1), np.uint8)


class StillClock(FakeClock):
    """Time passes by ``advance`` alone; a sleep lasts until then."""

    async def sleep(self, seconds: float) -> None:
        due_s = self.monotonic() + seconds
        while self.monotonic() < due_s:
            await asyncio.sleep(0.001)


class Store:
    """Loads models by name; fails as asked, so often; keeps a diary of loads."""

    def __init__(self) -> None:
        self.fails: dict[str, list[Exception]] = {}
        self.loads: list[str] = []
        self.go = threading.Event()
        self.go.set()
        self.scoring_s = 0.0
        self.scoring_fails: Exception | None = None
        self.darkness = ""
        self.rules: list[SizeRule] = []
        self.thresholds = FixedThresholds()
        self.moves: Callable[[], None] = lambda: None

    def __call__(self, place: Place, weights: WeightsId) -> Any:
        self.loads.append(weights)
        assert self.go.wait(5)
        if queue := self.fails.get(weights):
            raise queue.pop(0) if len(queue) > 1 else queue[0]
        manifest = make_manifest(image_threshold=0.5)
        return SimpleNamespace(manifest=manifest, at_threshold=self.at_threshold, runner_name="openvino")

    def at_threshold(self, image_threshold: float | None) -> Any:
        """The threshold moves while the batch runs, if ``moves`` says so."""
        self.moves()
        return SimpleNamespace(
            manifest=make_manifest(image_threshold=0.5),
            examine=partial(self.examine, threshold=0.5 if image_threshold is None else image_threshold),
            darkness=lambda image: self.darkness,
            view_figures=lambda image: None,
            runner_name="openvino",
        )

    def examine(self, images: Sequence[Any], *, sizes: SizeRule, threshold: float) -> list[Finding]:
        time.sleep(self.scoring_s)
        self.rules.append(sizes)
        if self.scoring_fails is not None:
            raise self.scoring_fails
        flat = np.zeros((4, 4), np.float32)
        return [decide(flat, image_threshold=threshold, pixel_threshold=threshold, spread=1.0) for _ in images]


def release(
    kind: str, weights: str, revision: int = 1, *, line: str = "line-1", withdrawn: bool = False
) -> ReleasePointer:
    return ReleasePointer(
        place=Place(line, "cell"),
        kind=WeightsKind(kind),
        revision=revision,
        weights=WeightsId(weights),
        withdrawn=withdrawn,
    )


@asynccontextmanager
async def models(
    store: Store, *, models_max: int = 8, clock: FakeClock | None = None
) -> AsyncIterator[HotSwapPredictors]:
    with ThreadPoolExecutor(1) as scorer, ThreadPoolExecutor(1) as loader:
        one = HotSwapPredictors(
            store,
            store.thresholds,
            threads=ServingThreads(scorer=scorer, loader=loader),
            limits=ServingLimits(room=Room(models_max=models_max), batch_max=4, batch_wait_s=0.0),
            clock=clock or FakeClock(),
        )
        task = asyncio.create_task(one.run())
        try:
            yield one
        finally:
            store.go.set()
            task.cancel()
            await asyncio.wait([task])
            for serving in one.serving():
                one._in_service.drop(*serving.release.place)


async def judged_by(one: HotSwapPredictors, line: str = "line-1") -> str | None:
    if await one.prepare(Place(line, "cell")) is not None:
        return None
    prediction = await one.predict(IMAGE, Place(line, "cell"))
    return prediction.release.weights if prediction else None


async def until(one: HotSwapPredictors, weights: str | None, line: str = "line-1") -> None:
    async with asyncio.timeout(3):
        while await judged_by(one, line) != weights:
            await asyncio.sleep(0.002)


async def planned(one: HotSwapPredictors) -> None:
    """Return once every release and every retry that is due was followed."""
    async with asyncio.timeout(3):
        while any(due_s <= one._clock.monotonic() for due_s in one._due_s.values()) or one._loading.locked():
            await asyncio.sleep(0.002)


async def test_a_threshold_judges_the_next_batch_and_waits_for_its_weights() -> None:
    store = Store()
    set_once = make_threshold_set("a" * 64, image_threshold=-1.0)
    async with models(store) as one:
        one.on_release(release("segmenter", "a"))
        await until(one, "a")
        store.thresholds.by_weights["b"] = replace(set_once, image_threshold=-2.0)
        before = await one.predict(IMAGE, Place("line-1", "cell"))
        assert before is not None
        assert (before.threshold.image_threshold, before.threshold.revision) == (0.5, 0)
        store.moves = lambda: store.thresholds.by_weights.update({"a": set_once})
        within = await one.predict(IMAGE, Place("line-1", "cell"))
        after = await one.predict(IMAGE, Place("line-1", "cell"))
        assert within is not None
        assert after is not None
        assert (within.threshold.image_threshold, _is_defect(within)) == (0.5, False), "it moved after the batch began"
        assert (after.threshold.image_threshold, _is_defect(after)) == (-1.0, True)
        rate = after.threshold.false_rejects
        assert rate is not None
        assert (after.threshold.revision, rate.low, rate.high) == (3, 0.01, 0.1)
        assert [serving.threshold for serving in one.serving()] == [after.threshold]
        one.on_release(release("segmenter", "b", 2))
        await until(one, "b")
        newest = await one.predict(IMAGE, Place("line-1", "cell"))
        assert newest is not None
        assert newest.threshold.image_threshold == -2.0, "it was set before its weights were released"


def _is_defect(prediction: Prediction) -> bool:
    assert isinstance(prediction.finding, Finding)
    return prediction.finding.is_defect


async def test_a_line_that_nothing_was_released_for_has_no_weights() -> None:
    async with models(Store()) as one:
        assert await one.prepare(Place("line-1", "cell")) is UnknownReason.NO_WEIGHTS
        assert await one.predict(IMAGE, Place("line-1", "cell")) is None


async def test_a_capture_waits_for_weights_that_exist_rather_than_hear_there_are_none() -> None:
    store = Store()
    store.go.clear()
    async with models(store) as one:
        one.on_release(release("teacher", "t1"))
        asking = asyncio.create_task(one.prepare(Place("line-1", "cell")))
        await asyncio.sleep(0.02)
        assert not asking.done()
        store.go.set()
        assert await asking is None


async def test_the_old_weights_judge_while_the_new_ones_load() -> None:
    store = Store()
    async with models(store) as one:
        one.on_release(release("teacher", "t1"))
        await until(one, "t1")
        store.go.clear()
        one.on_release(release("segmenter", "s1"))
        await asyncio.sleep(0.02)
        async with asyncio.timeout(1):
            assert await judged_by(one) == "t1"
        store.go.set()
        await until(one, "s1")


async def test_a_batch_is_judged_by_one_set_of_weights_and_none_is_lost_in_swaps() -> None:
    store = Store()
    store.scoring_s = 0.001
    async with models(store) as one:
        one.on_release(release("teacher", "t0"))
        await until(one, "t0")
        seen: list[str | None] = []

        async def stream() -> None:
            seen.extend([await judged_by(one) for _ in range(30)])

        streams = [asyncio.create_task(stream()) for _ in range(5)]
        for revision in range(2, 8):
            await asyncio.sleep(0.005)
            one.on_release(release("teacher", f"t{revision}", revision))
        await asyncio.gather(*streams)
        assert len(seen) == 150
        assert None not in seen
        assert len(set(seen)) > 1


async def test_a_swap_is_told_with_its_pause() -> None:
    async with models(Store()) as one:
        one.on_release(release("teacher", "t1"))
        await until(one, "t1")
        with capture_logs() as logs:
            one.on_release(release("segmenter", "s1", 4))
            await until(one, "s1")
        (told,) = [entry for entry in logs if entry["event"] == "weights_swapped"]
        assert dict(told) | {"pause_ms": 0, "load_s": 0} == {
            "event": "weights_swapped",
            "log_level": "info",
            "line": "line-1",
            "product": "cell",
            "kind": "segmenter",
            "weights": "s1",
            "revision": 4,
            "before": "t1",
            "pause_ms": 0,
            "load_s": 0,
        }
        (serving,) = one.serving()
        assert (serving.release.weights, serving.previous, serving.is_loaded, serving.swaps) == ("s1", "t1", True, 1)


async def test_the_info_metric_names_what_serves_and_nothing_else() -> None:
    WEIGHTS.clear()  # one registry a process: a stage that ran in this one has left its own

    def series() -> list[str]:
        (family,) = [f for f in REGISTRY.collect() if f.name == "siad_weights_info"]
        return [s.labels["weights"] for s in family.samples if s.labels["stage"] == "inference"]

    async with models(Store()) as one:
        one.on_release(release("teacher", "t1"))
        await until(one, "t1")
        one.on_release(release("teacher", "t2", 2))
        await until(one, "t2")
        assert series() == ["t2"]
        one.on_release(release("teacher", "t2", 3, withdrawn=True))
        await until(one, None)
        assert series() == []


async def test_refused_weights_leave_the_old_ones_serving_until_a_newer_revision() -> None:
    store, clock = Store(), StillClock()
    store.fails["s2"] = [UnusableWeightsError("digest")]
    async with models(store, clock=clock) as one:
        one.on_release(release("segmenter", "s1"))
        await until(one, "s1")
        with capture_logs() as logs:
            one.on_release(release("segmenter", "s2", 2))
            await planned(one)
            clock.advance(20)  # a retry is due after 30 to 90 s
            await planned(one)
        assert await judged_by(one) == "s1"
        assert store.loads == ["s1", "s2"]
        (entry,) = [entry for entry in logs if entry["event"] == "weights_refused"]
        assert (entry["weights"], entry["still_serving"]) == ("s2", "s1")
        one.on_release(release("segmenter", "s3", 3))
        await until(one, "s3")


async def test_a_newer_revision_of_refused_weights_is_tried_at_once() -> None:
    store = Store()
    store.fails["s2"] = [UnusableWeightsError("digest")]
    async with models(store, clock=StillClock()) as one:
        one.on_release(release("segmenter", "s1"))
        await until(one, "s1")
        one.on_release(release("segmenter", "s2", 2))
        await planned(one)
        store.fails.clear()
        one.on_release(release("segmenter", "s2", 3))
        await until(one, "s2")


@pytest.mark.parametrize("error", [OutOfMemoryError("2 GB"), RuntimeError("bug"), KeyError("x")])
async def test_an_error_of_memory_or_library_is_no_refusal(error: Exception) -> None:
    store = Store()
    store.fails["s2"] = [error]
    async with models(store) as one:
        one.on_release(release("segmenter", "s1"))
        await until(one, "s1")
        with capture_logs() as logs:
            one.on_release(release("segmenter", "s2", 2))
            while store.loads.count("s2") < 3:
                assert await judged_by(one) == "s1"
            store.fails.clear()
            await until(one, "s2")
        event = "weights_not_loaded" if isinstance(error, OutOfMemoryError) else "weights_load_crashed"
        assert {entry["event"] for entry in logs if entry["log_level"] == "error"} == {event}


async def test_weights_that_cannot_be_loaded_answer_unknown_with_a_reason_until_they_can() -> None:
    store, clock = Store(), StillClock()
    store.fails["t1"] = [RuntimeError("bug of a library")]
    async with models(store, clock=clock) as one:
        one.on_release(release("teacher", "t1"))
        assert await one.prepare(Place("line-1", "cell")) is UnknownReason.WEIGHTS_UNAVAILABLE
        store.fails.clear()
        clock.advance(2)
        await until(one, "t1")


async def test_a_store_that_is_away_leaves_the_old_ones_serving_until_it_is_back() -> None:
    store = Store()
    store.fails["s2"] = [TransientError("away"), DeniedError("403"), TransientError("away")]
    async with models(store) as one:
        one.on_release(release("segmenter", "s1"))
        await until(one, "s1")
        one.on_release(release("segmenter", "s2", 2))
        while store.loads.count("s2") < 3:
            assert await judged_by(one) == "s1"
        store.fails.clear()
        await until(one, "s2")


async def test_a_capture_whose_weights_cannot_be_read_now_is_tried_again_not_judged_unknown() -> None:
    store = Store()
    store.fails["t1"] = [TransientError("away")]
    async with models(store) as one:
        one.on_release(release("teacher", "t1"))
        with pytest.raises(TransientError, match="away"):
            await one.prepare(Place("line-1", "cell"))


async def test_after_a_restart_a_corrupt_segmenter_leaves_the_teacher_to_judge() -> None:
    store = Store()
    store.fails["s1"] = [UnusableWeightsError("digest")]
    async with models(store) as one:
        one.on_release(release("segmenter", "s1"))
        one.on_release(release("teacher", "t1"))
        assert await judged_by(one) == "t1"


async def test_a_withdrawn_segmenter_leaves_the_teacher_to_judge() -> None:
    async with models(Store()) as one:
        one.on_release(release("teacher", "t1"))
        one.on_release(release("segmenter", "s1"))
        await until(one, "s1")
        one.on_release(release("segmenter", "s1", 2, withdrawn=True))
        await until(one, "t1")


async def test_the_way_back_needs_no_load() -> None:
    store = Store()
    async with models(store) as one:
        for revision, weights in enumerate(("s1", "s2", "s1"), start=1):
            one.on_release(release("segmenter", weights, revision))
            await until(one, weights)
        assert store.loads == ["s1", "s2"]


async def test_lines_take_turns_in_a_bounded_memory() -> None:
    store = Store()
    async with models(store, models_max=2) as one:
        for n in range(4):
            one.on_release(release("teacher", f"t{n}", line=f"line-{n}"))
        for _ in range(2):
            for n in range(4):
                assert await judged_by(one, f"line-{n}") == f"t{n}"
        assert sum(serving.is_loaded for serving in one.serving()) == 2


async def test_lines_for_which_there_is_no_room_are_loaded_when_they_ask() -> None:
    store = Store()
    async with models(store, models_max=2) as one:
        for n in range(5):
            one.on_release(release("teacher", f"t{n}", line=f"line-{n}"))
        await asyncio.sleep(0.05)
        assert store.loads == ["t0", "t1"]
        assert await judged_by(one, "line-4") == "t4"
        one.on_release(release("teacher", "t9", 2, line="line-0"))  # has made room for t4
        await asyncio.sleep(0.05)
        assert store.loads == ["t0", "t1", "t4"]
        assert await judged_by(one, "line-0") == "t9"


async def test_a_line_without_weights_does_not_wait_for_the_loads_of_others() -> None:
    store = Store()
    store.go.clear()
    async with models(store) as one:
        one.on_release(release("teacher", "t1"))
        await asyncio.sleep(0.01)
        async with asyncio.timeout(1):
            assert await one.prepare(Place("line-2", "cell")) is UnknownReason.NO_WEIGHTS


async def three_lines(one: HotSwapPredictors) -> None:
    """Release weights for three lines where two fit: those of line 0 must make room."""
    for n in range(3):
        one.on_release(release("teacher", f"t{n}", line=f"line-{n}"))
    for n in range(3):
        assert await judged_by(one, f"line-{n}") == f"t{n}"


@pytest.mark.parametrize("error", [UnusableWeightsError("digest"), RuntimeError("bug")])
async def test_a_line_whose_weights_cannot_be_loaded_back_answers_unknown_and_heals(error: Exception) -> None:
    store, clock = Store(), StillClock()
    async with models(store, models_max=2, clock=clock) as one:
        await three_lines(one)
        store.fails["t0"] = [error]
        assert await one.prepare(Place("line-0", "cell")) is UnknownReason.WEIGHTS_UNAVAILABLE
        assert "t0" in [serving.release.weights for serving in one.serving()]
        store.fails.clear()
        clock.advance(100)
        await until(one, "t0", "line-0")


@pytest.mark.parametrize("error", [TransientError("store away"), OutOfMemoryError("2 GB")])
async def test_a_capture_waits_for_serving_weights_that_cannot_be_loaded_back_now(error: Exception) -> None:
    store, clock = Store(), StillClock()
    async with models(store, models_max=2, clock=clock) as one:
        await three_lines(one)
        store.fails["t0"] = [error]
        for _ in range(3):  # tried once: the others wait for the retry, too
            with pytest.raises(TransientError, match=str(error)):
                await one.prepare(Place("line-0", "cell"))
        assert store.loads.count("t0") == 2
        store.fails.clear()
        clock.advance(10)
        await until(one, "t0", "line-0")


async def test_weights_that_cannot_be_loaded_back_leave_the_line_to_those_before_them() -> None:
    store, clock = Store(), StillClock()
    async with models(store, models_max=2, clock=clock) as one:
        one.on_release(release("segmenter", "s1"))
        await until(one, "s1")
        one.on_release(release("segmenter", "s2", 2))
        await until(one, "s2")
        for n in (2, 3):
            one.on_release(release("teacher", f"t{n}", line=f"line-{n}"))
            await until(one, f"t{n}", f"line-{n}")
        store.fails["s2"] = [UnusableWeightsError("digest")]
        assert await judged_by(one) == "s1"
        store.fails.clear()
        clock.advance(100)
        await until(one, "s2")


async def test_weights_withdrawn_meanwhile_are_no_way_back() -> None:
    store = Store()
    async with models(store, models_max=2, clock=StillClock()) as one:
        for revision, weights in enumerate(("s1", "s2"), start=1):
            one.on_release(release("segmenter", weights, revision))
            await until(one, weights)
        one.on_release(release("segmenter", "s2", 3, withdrawn=True))
        await until(one, None)
        one.on_release(release("segmenter", "s3", 4))
        store.fails["s3"] = [UnusableWeightsError("digest")]
        assert await one.prepare(Place("line-1", "cell")) is UnknownReason.WEIGHTS_UNAVAILABLE


async def test_weights_that_leave_memory_between_asking_and_scoring_are_asked_for_again() -> None:
    store = Store()
    async with models(store, models_max=2, clock=StillClock()) as one:
        await three_lines(one)
        store.fails["t0"] = [RuntimeError("bug")]
        with pytest.raises(TransientError, match="left memory"):
            await one.predict(IMAGE, Place("line-0", "cell"))


async def test_a_device_that_fails_while_loading_ends_the_process() -> None:
    store = Store()
    store.fails["t1"] = [DeviceError("cuda:0")]
    async with models(store) as one:
        one.on_release(release("teacher", "t1"))
        with pytest.raises(DeviceError):
            await one.prepare(Place("line-1", "cell"))


async def test_memory_that_runs_out_while_scoring_is_transient() -> None:
    store = Store()
    async with models(store) as one:
        one.on_release(release("teacher", "t1"))
        await until(one, "t1")
        store.scoring_fails = OutOfMemoryError("2 GB")
        with pytest.raises(TransientError, match="2 GB"):
            await judged_by(one)
        store.scoring_fails = None
        assert await judged_by(one) == "t1"


async def test_warming_loads_lines_while_there_is_room_and_forgives_a_store_that_is_away() -> None:
    store = Store()
    store.fails["t0"] = [TransientError("away")]
    async with models(store, models_max=2, clock=StillClock()) as one:
        for n in range(4):
            one._releases.apply(release("teacher", f"t{n}", line=f"line-{n}"))
        await one.warm()
        assert store.loads == ["t0", "t1", "t2"]


async def test_captures_under_different_size_rules_are_examined_apart() -> None:
    store, place = Store(), Place("line-1", "cell")
    async with models(store) as one:
        one.on_release(release("teacher", "t1"))
        await until(one, "t1")
        store.rules.clear()
        rules = [SizeRule.ANY, SizeRule.NORMALS, SizeRule.ANY]
        await asyncio.gather(*(one.predict(IMAGE, place, sizes=rule) for rule in rules))
    assert sorted(set(store.rules)) == [SizeRule.ANY, SizeRule.NORMALS]


async def test_a_dark_image_is_counted_and_says_so() -> None:
    store, place = Store(), Place("line-1", "cell")
    async with models(store) as one:
        one.on_release(release("teacher", "t1"))
        await until(one, "t1")
        before = dark("line-1")
        store.darkness = "2.0% of white"
        prediction = await one.predict(IMAGE, place)
        store.darkness = ""
        await one.predict(IMAGE, place)
    assert prediction is not None
    assert prediction.darkness == "2.0% of white"
    assert dark("line-1") == before + 1


def dark(line: str) -> float:
    return REGISTRY.get_sample_value("siad_inference_dark_total", {"line": line}) or 0.0
