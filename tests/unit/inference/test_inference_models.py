"""The models of all lines: load beside, refuse, swap between batches, fall back."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from services.inference.adapters.predictors import HotSwapPredictors
from services.inference.domain.releases import ReleasePointer
from siad.contracts.errors import CorruptError, DeniedError, MissingError, TransientError
from siad.contracts.events import WeightsKind
from siad.contracts.ids import WeightsId
from siad.contracts.place import Place
from siad.runtime.metrics import WEIGHTS
from siad.runtime.testing.clock import FakeClock
from siad.vision.decide import Finding, decide

PLACE = Place("line-1", "cell")
IMAGE = np.zeros((4, 4, 1), np.uint8)


class Store:
    """Loads examiners by name; raises what it is told to, so often; diary of loads."""

    def __init__(self) -> None:
        self.fails: dict[str, list[Exception]] = {}
        self.loads: list[str] = []
        self.go = threading.Event()
        self.go.set()
        self.scoring_s = 0.0

    def __call__(self, line: str, product: str, weights: WeightsId) -> Any:
        self.loads.append(weights)
        assert self.go.wait(5)
        if queue := self.fails.get(weights):
            raise queue.pop(0) if len(queue) > 1 else queue[0]
        return SimpleNamespace(manifest=SimpleNamespace(image_threshold=0.5), examine=self.examine)

    def examine(self, images: Sequence[Any]) -> list[Finding]:
        time.sleep(self.scoring_s)
        flat = np.zeros((4, 4), np.float32)
        return [decide(flat, image_threshold=0.5, pixel_threshold=0.5, spread=1.0) for _ in images]


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
async def models(store: Store, *, models_max: int = 8) -> AsyncIterator[HotSwapPredictors]:
    with ThreadPoolExecutor(1) as scorer, ThreadPoolExecutor(1) as loader:
        one = HotSwapPredictors(
            store,
            models_max=models_max,
            scorer=scorer,
            loader=loader,
            clock=FakeClock(),
            batch_max=4,
            batch_wait_s=0.0,
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
    if not await one.has_weights(line, "cell"):
        return None
    examined = await one.examine(IMAGE, line=line, product="cell")
    return examined.release.weights if examined else None


async def until(one: HotSwapPredictors, weights: str | None, line: str = "line-1") -> None:
    async with asyncio.timeout(3):
        while await judged_by(one, line) != weights:
            await asyncio.sleep(0.002)


async def test_a_line_that_nothing_was_released_for_has_no_weights() -> None:
    async with models(Store()) as one:
        assert not await one.has_weights("line-1", "cell")
        assert await one.examine(IMAGE, line="line-1", product="cell") is None


async def test_a_capture_waits_for_weights_that_exist_rather_than_hear_there_are_none() -> None:
    store = Store()
    store.go.clear()
    async with models(store) as one:
        one.learn(release("teacher", "t1"))
        asking = asyncio.create_task(one.has_weights("line-1", "cell"))
        await asyncio.sleep(0.02)
        assert not asking.done()
        store.go.set()
        assert await asking


async def test_the_old_weights_judge_while_the_new_ones_load() -> None:
    store = Store()
    async with models(store) as one:
        one.learn(release("teacher", "t1"))
        await until(one, "t1")
        store.go.clear()
        one.learn(release("segmenter", "s1"))
        await asyncio.sleep(0.02)
        async with asyncio.timeout(1):
            assert await judged_by(one) == "t1"
        store.go.set()
        await until(one, "s1")


async def test_a_batch_is_judged_by_one_set_of_weights_and_none_is_lost_in_swaps() -> None:
    store = Store()
    store.scoring_s = 0.001
    async with models(store) as one:
        one.learn(release("teacher", "t0"))
        await until(one, "t0")
        seen: list[str | None] = []

        async def stream() -> None:
            seen.extend([await judged_by(one) for _ in range(30)])

        streams = [asyncio.create_task(stream()) for _ in range(5)]
        for revision in range(2, 8):
            await asyncio.sleep(0.005)
            one.learn(release("teacher", f"t{revision}", revision))
        await asyncio.gather(*streams)
        assert len(seen) == 150
        assert None not in seen
        assert len(set(seen)) > 1


async def test_a_swap_is_told_with_its_pause() -> None:
    async with models(Store()) as one:
        one.learn(release("teacher", "t1"))
        await until(one, "t1")
        with capture_logs() as logs:
            one.learn(release("segmenter", "s1", 4))
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
        assert (serving.release.weights, serving.previous, serving.is_hot, serving.swaps) == ("s1", "t1", True, 1)


async def test_the_info_metric_names_what_serves_and_nothing_else() -> None:
    WEIGHTS.clear()  # one registry a process: a stage that ran in this one has left its own

    def series() -> list[str]:
        (family,) = [f for f in REGISTRY.collect() if f.name == "siad_weights_info"]
        return [s.labels["weights"] for s in family.samples if s.labels["stage"] == "inference"]

    async with models(Store()) as one:
        one.learn(release("teacher", "t1"))
        await until(one, "t1")
        one.learn(release("teacher", "t2", 2))
        await until(one, "t2")
        assert series() == ["t2"]
        one.learn(release("teacher", "t2", 3, withdrawn=True))
        await until(one, None)
        assert series() == []


@pytest.mark.parametrize("error", [CorruptError("digest"), MissingError("part"), ValueError("golden"), KeyError("x")])
async def test_refused_weights_leave_the_old_ones_serving_and_are_never_tried_again(error: Exception) -> None:
    store = Store()
    store.fails["s2"] = [error]
    async with models(store) as one:
        one.learn(release("segmenter", "s1"))
        await until(one, "s1")
        with capture_logs() as logs:
            one.learn(release("segmenter", "s2", 2))
            one.learn(release("segmenter", "s2", 3))
            while "s2" not in store.loads or one._stale:
                await asyncio.sleep(0.002)
            one.learn(release("segmenter", "s2", 4))
            await asyncio.sleep(0.02)
        assert await judged_by(one) == "s1"
        assert store.loads == ["s1", "s2"]
        (told,) = [entry for entry in logs if entry["event"] == "weights_refused"]
        assert (told["weights"], told["still_serving"]) == ("s2", "s1")
        one.learn(release("segmenter", "s3", 5))
        await until(one, "s3")


async def test_a_store_that_is_away_leaves_the_old_ones_serving_until_it_is_back() -> None:
    store = Store()
    store.fails["s2"] = [TransientError("away"), DeniedError("403"), TransientError("away")]
    async with models(store) as one:
        one.learn(release("segmenter", "s1"))
        await until(one, "s1")
        one.learn(release("segmenter", "s2", 2))
        while store.loads.count("s2") < 3:
            assert await judged_by(one) == "s1"
        store.fails.clear()
        await until(one, "s2")


async def test_a_capture_whose_weights_cannot_be_read_now_is_tried_again_not_judged_unknown() -> None:
    store = Store()
    store.fails["t1"] = [TransientError("away")]
    async with models(store) as one:
        one.learn(release("teacher", "t1"))
        with pytest.raises(TransientError, match="away"):
            await one.has_weights("line-1", "cell")


async def test_after_a_restart_a_corrupt_segmenter_leaves_the_teacher_to_judge() -> None:
    store = Store()
    store.fails["s1"] = [CorruptError("digest")]
    async with models(store) as one:
        one.learn(release("segmenter", "s1"))
        one.learn(release("teacher", "t1"))
        assert await judged_by(one) == "t1"


async def test_a_withdrawn_segmenter_leaves_the_teacher_to_judge() -> None:
    async with models(Store()) as one:
        one.learn(release("teacher", "t1"))
        one.learn(release("segmenter", "s1"))
        await until(one, "s1")
        one.learn(release("segmenter", "s1", 2, withdrawn=True))
        await until(one, "t1")


async def test_the_way_back_needs_no_load() -> None:
    store = Store()
    async with models(store) as one:
        for revision, weights in enumerate(("s1", "s2", "s1"), start=1):
            one.learn(release("segmenter", weights, revision))
            await until(one, weights)
        assert store.loads == ["s1", "s2"]


async def test_lines_take_turns_in_a_bounded_memory() -> None:
    store = Store()
    async with models(store, models_max=2) as one:
        for n in range(4):
            one.learn(release("teacher", f"t{n}", line=f"line-{n}"))
        for _ in range(2):
            for n in range(4):
                assert await judged_by(one, f"line-{n}") == f"t{n}"
        assert sum(serving.is_hot for serving in one.serving()) == 2


async def test_lines_for_which_there_is_no_room_are_loaded_when_they_ask() -> None:
    store = Store()
    async with models(store, models_max=2) as one:
        for n in range(5):
            one.learn(release("teacher", f"t{n}", line=f"line-{n}"))
        await asyncio.sleep(0.05)
        assert store.loads == ["t0", "t1"]
        assert await judged_by(one, "line-4") == "t4"
        one.learn(release("teacher", "t9", 2, line="line-0"))  # has made room for t4
        await asyncio.sleep(0.05)
        assert store.loads == ["t0", "t1", "t4"]
        assert await judged_by(one, "line-0") == "t9"


async def test_a_line_without_weights_does_not_wait_for_the_loads_of_others() -> None:
    store = Store()
    store.go.clear()
    async with models(store) as one:
        one.learn(release("teacher", "t1"))
        await asyncio.sleep(0.01)
        async with asyncio.timeout(1):
            assert not await one.has_weights("line-2", "cell")


async def test_weights_that_made_room_and_were_damaged_since_are_refused_when_needed_again() -> None:
    store = Store()
    async with models(store, models_max=2) as one:
        for n in range(3):
            one.learn(release("teacher", f"t{n}", line=f"line-{n}"))
        for n in range(3):
            assert await judged_by(one, f"line-{n}") == f"t{n}"
        store.fails["t0"] = [CorruptError("digest")]
        assert await judged_by(one, "line-0") is None


async def test_warming_loads_so_many_lines_and_forgives_a_store_that_is_away() -> None:
    store = Store()
    store.fails["t0"] = [TransientError("away")]
    async with models(store) as one:
        for n in range(4):
            one._releases.apply(release("teacher", f"t{n}", line=f"line-{n}"))
        await one.warm(places_max=3)
        assert store.loads == ["t0", "t1", "t2"]
