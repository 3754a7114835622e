"""The whole of ingest over a bus and a store in memory."""

from collections.abc import AsyncIterator

import cv2
import httpx
import numpy as np
import pytest

from services.ingest.app import assemble
from services.ingest.settings import IngestSettings
from siad.contracts.topics import TOPICS
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.bus.memory import MemoryBus
from siad.runtime.testing.clock import FakeClock
from siad.runtime.worker import StageProcess


@pytest.fixture
def blobs() -> MemoryBlobs:
    return MemoryBlobs()


@pytest.fixture
async def bus() -> MemoryBus:
    bus = MemoryBus()
    await bus.create_topics(TOPICS)
    return bus


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def settings() -> IngestSettings:
    return IngestSettings(upload_max_bytes=20_000, pixels_max=10_000, uploads_max=3, queue_max=1)


@pytest.fixture
async def stage(
    bus: MemoryBus, blobs: MemoryBlobs, clock: FakeClock, settings: IngestSettings
) -> AsyncIterator[StageProcess]:
    stage = StageProcess("ingest", settings, clock=clock)
    async with assemble(stage, settings, bus=bus, blobs=blobs):
        yield stage


@pytest.fixture
async def client(stage: StageProcess) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(stage.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://ingest") as client:
        yield client


@pytest.fixture
def png() -> bytes:
    """A grey image of 40x30 px."""
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40), np.uint8)
    return cv2.imencode(".png", pixels)[1].tobytes()
