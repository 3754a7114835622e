"""Live probes in the whole stage: real weights, real defects, and nothing of them on the bus or in the store."""

import asyncio

import pytest
from prometheus_client import REGISTRY

from siad.apps.local.stage_status import describe_probes
from siad.contracts.events import Decision
from siad.contracts.topics import VERDICT
from tests import synthetic
from tests.integration.inference_plant import T1, TOPICS, Plant


@pytest.fixture
async def plant() -> Plant:
    plant = Plant()
    await plant.bus.create_topics(TOPICS)
    await plant.make_line()
    return plant


def probed() -> float:
    names = [{"line": synthetic.LINE, "outcome": outcome} for outcome in ("found", "missed")]
    return sum(REGISTRY.get_sample_value("siad_inference_probes_total", labels) or 0.0 for labels in names)


async def test_copies_of_passed_captures_are_probed_and_never_published(plant: Plant) -> None:
    await plant.release(T1)
    before = probed()
    async with plant.running(probe_share=1.0):
        for number in range(6):
            await plant.verdict(await plant.capture())
            async with asyncio.timeout(60):
                while probed() < before + number + 1:
                    await asyncio.sleep(0.02)
        metrics = (await plant.http.get("/metrics")).text
    assert len(plant.verdicts()) == len(plant.bus.records(VERDICT.name)) == plant.sent
    assert all(verdict.decision is Decision.PASS for verdict in plant.verdicts().values())
    assert not [info.key for info in plant.blobs.list("masks/")]
    [text] = [text for text in describe_probes(metrics) if text.startswith("line-1/cell: finds ")]  # not of other tests
    assert "synthetic defects in copies of its captures" in text
