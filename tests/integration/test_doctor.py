"""The examination of a plant with a real bus, a real store and a real stage, in order and broken."""

import asyncio
from pathlib import Path

import httpx
import pytest

from siad.apps.client import IngestClient
from siad.apps.local.doctor.examine import examine
from siad.apps.local.doctor.findings import Finding, FindingStatus
from siad.apps.local.doctor.stage_check import check_stages
from siad.apps.local.weed import WeedNode
from siad.contracts.ids import sha256_hex
from siad.contracts.keys import books_key, part_key
from siad.contracts.manifest import BundlePart
from siad.contracts.topics import TOPICS
from siad.runtime.blobs.s3 import S3Blobs
from siad.runtime.bus.embedded.bus import EmbeddedBus
from siad.runtime.store.registry import Registry
from tests.e2e.harness import Plant
from tests.events import NOON
from tests.fixtures.kafka import quick_settings
from tests.fixtures.store import settings_of
from tests.manifests import make_manifest

pytestmark = pytest.mark.slow

GOLDEN = b"golden outputs"


def faults(found: list[Finding]) -> dict[str, Finding]:
    return {one.check: one for one in found if one.status is FindingStatus.FAULT}


async def test_a_plant_in_order_has_no_fault_and_each_broken_part_is_named(
    own_weed_node: WeedNode, tmp_path: Path
) -> None:
    bus = f"embedded://{tmp_path}/bus.sqlite"
    store = own_weed_node.environment("examined")
    env = {"SIAD_BUS_BOOTSTRAP": bus, **store}
    ingest = Plant(tmp_path, env).add("ingest")
    ingest.start()
    await ingest.wait_ready()
    await EmbeddedBus(quick_settings(bus)).create_topics(TOPICS)  # as the other stages do at their start
    async with IngestClient(ingest.url) as client:
        await client.put_line("press", {"product": "cap"})
    blobs = S3Blobs(settings_of(store))
    manifest = make_manifest(
        line="press",
        product="cap",
        parts=(BundlePart(name="golden", sha256=sha256_hex(GOLDEN), size_bytes=len(GOLDEN)),),
    )
    Registry(blobs).store(manifest, {"golden": GOLDEN})
    Registry(blobs).point(manifest, expected=None, released_at=NOON)

    def stored() -> list[str]:
        return [info.key for info in blobs.list("") if info.key != books_key()]  # ingest writes it at any time

    before = stored()

    async def examined() -> dict[str, Finding]:
        found = await asyncio.to_thread(examine, tmp_path, env, lambda _: None)
        with httpx.Client(timeout=5) as client:
            found += await asyncio.to_thread(lambda: list(check_stages(client, {"ingest": ingest.url}, "press")))
        return faults(found)

    assert await examined() == {}
    assert stored() == before

    blobs.put(part_key(sha256_hex(GOLDEN)), b"damaged")
    broken = await examined()
    assert list(broken) == ["weights"]
    assert "press/cap" in broken["weights"].effect

    own_weed_node.kill()
    broken = await examined()
    assert {"store", "ingest"} <= broken.keys()
    assert "every line" in broken["store"].effect

    await ingest.stop()
    (tmp_path / "bus.sqlite").unlink()
    broken = await examined()
    assert {"store", "broker", "ingest"} <= broken.keys()
    assert "does not respond" in broken["ingest"].what
