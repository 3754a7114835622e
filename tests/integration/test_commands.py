"""Commands on real processes, one of which is killed."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from siad.contracts.events import WeightsKind
from siad.runtime.blobs.s3 import S3Blobs
from siad.runtime.store.registry import Registry
from tests.e2e.harness import Plant, wait_for
from tests.fixtures.kafka import BusFile
from tests.integration.commanded_plant import LINE_NAME, PLACE, put_weights, running_plant
from tests.synthetic import PRODUCT

pytestmark = pytest.mark.slow


@pytest.fixture
async def plant(
    bus_file: BusFile, store_env: Mapping[str, str], s3_blobs: S3Blobs, tmp_path: Path
) -> AsyncIterator[Plant]:
    put_weights(s3_blobs)
    async with running_plant(bus_file, store_env, s3_blobs, tmp_path) as plant:
        yield plant


async def give(plant: Plant, number: int, kind: str, reason: str = "") -> None:
    body = {"kind": kind, "product": PRODUCT, "by": "ann", "reason": reason}
    async with httpx.AsyncClient(base_url=plant["console"].url) as http:
        response = await http.put(f"/v1/lines/{LINE_NAME}/commands/{number:032x}", json=body)
    assert response.status_code == 202, response.text


async def answered(plant: Plant, number: int) -> dict[str, Any]:
    found: list[dict[str, Any]] = []

    async def is_answered() -> bool:
        listed = (await plant["console"].get(f"/v1/lines/{LINE_NAME}/commands")).json()["commands"]
        found[:] = [one for one in listed if one["command_id"] == f"{number:032x}" and one["fate"]]
        return bool(found)

    await wait_for(is_answered, 60, f"the outcome of command {number}", on_fail=plant["labeler"].tail)
    return found[0]


async def test_stages_carry_out_what_people_command_and_a_killed_one_does_after_its_start(
    plant: Plant, s3_blobs: S3Blobs
) -> None:
    await give(plant, 1, "hold", "new lamp")
    held = await answered(plant, 1)
    assert (held["fate"], held["stage"]) == ("done", "labeler")
    await give(plant, 2, "train")
    refused = await answered(plant, 2)
    assert (refused["fate"], refused["stage"]) == ("refused", "trainer")
    assert "ann holds it" in refused["detail"]
    assert "new lamp" in refused["detail"]

    plant["trainer"].kill()
    await give(plant, 3, "rollback")
    await give(plant, 4, "resume")
    assert (await answered(plant, 4))["fate"] == "done"
    before = Registry(s3_blobs).pointer(WeightsKind.SEGMENTER, PLACE)
    assert before is not None
    plant["trainer"].start()
    assert (await answered(plant, 3))["fate"] == "done"
    after = Registry(s3_blobs).pointer(WeightsKind.SEGMENTER, PLACE)
    assert after is not None
    assert (after.weights, after.rejected) == (before.history[0], (before.weights,))
    await give(plant, 5, "train")
    assert (await answered(plant, 5))["fate"] == "done"
