"""Exactly-once delivery on a real bus: inference is killed again and again, and each capture has one verdict."""

import asyncio
import os
import random
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from siad.contracts.events import Decision
from siad.runtime.blobs.s3 import S3Blobs
from siad.runtime.bus.open import open_bus
from tests.e2e.harness import Plant
from tests.fixtures.kafka import BUSES, own_bus, quick_settings
from tests.integration.test_inference_process import streaming
from tests.synthetic import bundle

pytestmark = pytest.mark.slow

CAPTURES = int(os.environ.get("SIAD_EXACTLY_ONCE_CAPTURES", "300"))
PER_S = 20
KILL_AFTER = 50  # verdicts that readers see between a start and the next kill
DELIVERY = os.environ.get("SIAD_EXACTLY_ONCE_DELIVERY", "exactly-once")  # the other one makes the test fail


@pytest.mark.parametrize("kind", BUSES)
async def test_each_capture_has_one_verdict_whenever_inference_is_killed(
    kind: str, store_env: Mapping[str, str], s3_blobs: S3Blobs, tmp_path: Path
) -> None:
    rng = random.Random(1)
    with own_bus(kind, tmp_path) as broker:
        plant = Plant(tmp_path, {"SIAD_BUS_BOOTSTRAP": broker.bootstrap, **store_env})
        inference = plant.add("inference", poll_s="1", delivery=DELIVERY)
        async with streaming(open_bus(quick_settings(broker.bootstrap)), s3_blobs) as stream:
            await stream.release(bundle(seed=21))
            async with plant.running():
                sending = asyncio.create_task(stream.send(CAPTURES, pause_s=1 / PER_S))
                kills = 0
                while (seen := len(stream.verdicts)) < CAPTURES - 2 * KILL_AFTER:
                    async with asyncio.timeout(240):
                        while len(stream.verdicts) < seen + KILL_AFTER:
                            await asyncio.sleep(0.01)
                    await asyncio.sleep(rng.uniform(0, 0.3))
                    inference.kill()
                    kills += 1
                    inference.start()
                await sending
                async with asyncio.timeout(240):
                    while len({verdict.capture_id for verdict in stream.verdicts}) < CAPTURES:
                        await asyncio.sleep(0.05)
                await asyncio.sleep(2)  # for verdicts that would come twice
            assert await inference.stop() == 0
    counts = Counter(verdict.capture_id for verdict in stream.verdicts)
    assert (len(counts), counts.total(), Decision.UNKNOWN in {v.decision for v in stream.verdicts}) == (
        CAPTURES,
        CAPTURES,
        False,
    )
    assert kills >= 3
