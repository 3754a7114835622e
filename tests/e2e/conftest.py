"""The loop on real servers, shared by all tests that kill a part of it."""

import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio

from siad.apps.local.ports import free_ports
from siad.apps.local.ray_node import RayNode
from siad.apps.local.weed import WeedNode
from siad.contracts.topics import TOPICS
from siad.runtime.blobs.s3 import S3Blobs
from siad.runtime.bus.open import open_bus
from siad.runtime.bus.port import Bus
from tests.e2e.harness import Plant, StageProcess, wait_for
from tests.e2e.line import Camera, Watch, watching
from tests.fixtures.kafka import BUSES, OwnBus, own_bus, quick_settings
from tests.fixtures.store import settings_of

NORMALS = 10


@dataclass(slots=True)
class Loop:
    """Ingest, scorer, labeler and inference, with a teacher for one line."""

    plant: Plant
    bus: Bus
    blobs: S3Blobs
    bootstrap: str
    camera: Camera
    watch: Watch


@pytest.fixture(scope="module", params=BUSES)
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnBus]:
    """A bus for these tests alone: topics and groups have their production names."""
    with own_bus(request.param, tmp_path_factory.mktemp("e2e-bus")) as bus:
        yield bus


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def loop(
    broker: OwnBus, weed_node: WeedNode, ray_node: RayNode, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Loop]:
    """The loop, running, with a teacher in service."""
    store_env = weed_node.environment(f"e2e-{uuid.uuid4().hex[:8]}")
    blobs = S3Blobs(settings_of(store_env))
    blobs.ensure_bucket()
    bus = open_bus(quick_settings(broker.bootstrap))
    await bus.create_topics(list(TOPICS))
    env = {
        "SIAD_BUS_BOOTSTRAP": broker.bootstrap,
        "SIAD_BUS_SESSION_TIMEOUT_S": "4",  # a member that was killed is missed soon
        **ray_node.environment(),
        **store_env,
    }
    plant = describe(tmp_path_factory.mktemp("e2e-stages"), env)
    camera = Camera(plant["ingest"].url, "press-1")
    async with plant.running(), watching(bus, group="watch") as watch:
        await camera.register()
        await camera.send_normals(NORMALS)
        await wait_for(partial(_serves, plant), 180, "a teacher in service", on_fail=plant["labeler"].tail)
        yield Loop(plant, bus, blobs, broker.bootstrap, camera, watch)


def describe(folder: Path, env: dict[str, str]) -> Plant:
    """The stages and their connection settings."""
    (scorer_port,) = free_ports(1)
    plant = Plant(folder, env)
    scorer_env = {
        "SIAD_LABELER_SCORER_PORT": str(scorer_port),
        "SIAD_LABELER_SCORER_URL": f"http://127.0.0.1:{scorer_port}",
    }
    plant.add("ingest")
    plant.add_process(
        StageProcess(
            name="scorer",
            module="services.labeler.scorer",
            env={**env, **scorer_env},
            port=scorer_port,
            log=folder / "scorer.log",
            ready_path="/healthz",
        )
    )
    plant.add("labeler", scorer_url=scorer_env["SIAD_LABELER_SCORER_URL"], scorer_port=str(scorer_port))
    plant.add("inference", poll_s="1")
    return plant


async def _serves(plant: Plant) -> bool:
    for stage in plant.stages.values():
        stage.require_alive()
    return bool((await plant["inference"].get("/v1/weights")).json()["weights"])
