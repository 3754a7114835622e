"""Direct requests through an outage: judged by copies on the local disk, also after a restart."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from siad.contracts.codec import encode
from siad.contracts.keys import line_pointers_prefix, weights_pointer_key
from siad.contracts.topics import THRESHOLD
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.bus.memory import MemoryBus
from siad.runtime.bus.port import Message
from tests.integration.inference_plant import T1, T1_ID, T2, T2_ID, TOPICS, Plant
from tests.synthetic import part_image, png
from tests.thresholds import make_threshold_set

GOOD, BAD = png(part_image(1)), png(part_image(2, defect=True))


@pytest.fixture
async def plant() -> Plant:
    plant = Plant()
    await plant.bus.create_topics([*TOPICS, THRESHOLD])
    await plant.make_line()
    await plant.release(T1)
    return plant


async def inspect(plant: Plant, data: bytes) -> dict[str, Any]:
    response = await plant.http.post("/v1/lines/line-1/inspect", content=data)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def take_away(plant: Plant, *, is_away: bool = True) -> None:
    plant.bus.down = plant.blobs.down = is_away


async def until_written(folder: Path) -> None:
    """Wait for the known state and the weights that belong to it."""
    async with asyncio.timeout(10):
        while not (folder / "known-state.json").exists() or not (folder / "weights" / T1_ID).exists():
            await asyncio.sleep(0.02)


async def test_images_are_judged_through_an_outage_and_a_restart_in_it(plant: Plant, tmp_path: Path) -> None:
    async with plant.running(cache_dir=tmp_path):
        assert (await inspect(plant, GOOD))["known_state"] is None
        await until_written(tmp_path)
        take_away(plant)
        ready = await plant.http.get("/readyz")
        assert (ready.status_code, ready.json()["missing"].keys() >= {"bus", "store"}) == (200, True)
        during = await inspect(plant, BAD)
        assert (during["decision"], during["weights"]) == ("reject", T1_ID)
        assert during["known_state"]["away"].keys() == {"bus", "store"}
    async with plant.running(cache_dir=tmp_path):  # every call to broker and store fails from the start
        good, bad = await inspect(plant, GOOD), await inspect(plant, BAD)
        assert (good["decision"], bad["decision"], bad["weights"]) == ("pass", "reject", T1_ID)
        assert during["known_state"]["as_of"] >= good["known_state"]["as_of"] > "2026"
        take_away(plant, is_away=False)
        assert (await plant.verdict(await plant.capture())).weights == T1_ID  # the stream goes on by itself
        async with asyncio.timeout(10):
            while (await inspect(plant, GOOD))["known_state"] is not None:
                await plant.http.get("/readyz")
                await asyncio.sleep(0.02)


async def test_a_threshold_that_was_set_holds_after_a_restart_in_an_outage(plant: Plant, tmp_path: Path) -> None:
    strict = make_threshold_set(T1_ID, revision=4, image_threshold=1e-6)
    place = f"{T1.manifest.place}/{T1_ID}"
    await plant.send(Message(topic=THRESHOLD.name, key=place, value=encode(strict)))
    async with plant.running(cache_dir=tmp_path):
        await until_written(tmp_path)
        take_away(plant)
    async with plant.running(cache_dir=tmp_path):
        answer = await inspect(plant, GOOD)
        assert (answer["decision"], answer["threshold_revision"], answer["threshold"]) == ("reject", 4, 1e-6)
    take_away(plant, is_away=False)


async def test_without_a_copy_a_restart_in_an_outage_judges_nothing_and_says_why(plant: Plant) -> None:
    take_away(plant)
    async with asyncio.timeout(10):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1), plant.running():
                pass
    take_away(plant, is_away=False)


async def test_damaged_copies_are_read_again_from_the_store(plant: Plant, tmp_path: Path) -> None:
    async with plant.running(cache_dir=tmp_path):
        await until_written(tmp_path)
    copies = list((tmp_path / "weights").iterdir())
    assert {copy.name for copy in copies} == {T1_ID, *(part.sha256 for part in T1.manifest.parts)}
    for copy in copies:
        copy.write_bytes(copy.read_bytes()[:-1])
    (tmp_path / "known-state.json").write_bytes(b"{")
    async with plant.running(cache_dir=tmp_path):
        assert (await inspect(plant, BAD))["weights"] == T1_ID
        await until_written(tmp_path)


async def test_replaced_weights_leave_the_disk_and_so_do_those_of_an_erased_line(plant: Plant, tmp_path: Path) -> None:
    async with plant.running(cache_dir=tmp_path):
        await until_written(tmp_path)
        await plant.release(T2)
        await plant.until_serving(T2_ID)
        key = weights_pointer_key("teacher", *T2.manifest.place)
        plant.blobs.delete(key)
        async with asyncio.timeout(10):
            while T2_ID in (tmp_path / "known-state.json").read_text():
                await asyncio.sleep(0.02)


async def test_another_plant_begins_anew_whatever_the_copies_say(plant: Plant, tmp_path: Path) -> None:
    await plant.make_line(revision=7)
    async with plant.running(cache_dir=tmp_path):
        await until_written(tmp_path)
    fresh = Plant(bus=MemoryBus(partitions=2), blobs=MemoryBlobs())
    await fresh.bus.create_topics([*TOPICS, THRESHOLD])
    await fresh.make_line(revision=1)
    async with fresh.running(cache_dir=tmp_path):
        answer = await inspect(fresh, GOOD)
        assert (answer["line_revision"], answer["reason"]) == (1, "no-weights")
    assert not list(fresh.blobs.list(line_pointers_prefix()))
