"""Ingest keeps the capture ledger and serves it: GET /v1/books and siad_books_captures."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx

from services.ingest.app import assemble
from services.ingest.settings import IngestSettings
from siad.audit.reader import LETTERS
from siad.contracts.codec import encode
from siad.contracts.events import Intent
from siad.contracts.topics import IMAGE, LINE, VERDICT
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.bus.memory import MemoryBus
from siad.runtime.bus.port import Message
from siad.runtime.clock import SYSTEM_CLOCK
from siad.runtime.worker import StageProcess, serve
from tests.unit.audit.test_ledger import image, verdict


@asynccontextmanager
async def ingest(bus: MemoryBus, blobs: MemoryBlobs) -> AsyncIterator[httpx.AsyncClient]:
    settings = IngestSettings(http_port=0, books_every_s=0.1, drain_s=2.0)
    stage = StageProcess("ingest", settings)
    serving = asyncio.create_task(serve(stage, lambda stage: assemble(stage, settings, bus=bus, blobs=blobs)))
    try:
        while stage.port is None and not serving.done():
            await asyncio.sleep(0.01)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{stage.port}", timeout=20) as http:
            yield http
    finally:
        stage.stop.set()
        await serving


async def test_the_ledger_of_new_topics_is_empty_then_counts_images_and_verdicts() -> None:
    bus, blobs = MemoryBus(partitions=2), MemoryBlobs()
    now = SYSTEM_CLOCK.now()
    events = [replace(image(number), received_at=now) for number in range(3)]
    async with ingest(bus, blobs) as http, asyncio.timeout(20):
        assert (await http.get("/v1/books")).json() == {"as_of": None, "age_s": None, "behind": 0, "lines": []}
        while (await http.get("/readyz")).status_code != 200:  # it has created the topics that it reads
            await asyncio.sleep(0.02)
        await bus.create_topics([LINE, IMAGE, VERDICT, LETTERS])
        normal = replace(image(3), received_at=now, intent=Intent.NORMAL)
        values = [*((IMAGE, encode(event)) for event in (*events, normal)), (VERDICT, encode(verdict(events[0])))]
        async with bus.producer() as producer:
            await producer.publish([Message(topic=topic.name, key="l/0", value=value) for topic, value in values])
        while not (lines := (await http.get("/v1/books")).json()["lines"]) or lines[0]["verdict"] != 1:
            await asyncio.sleep(0.05)
        (line,) = lines
        counts = {name: line[name] for name in ("line", "received", "verdict", "waiting", "normal", "missing_after_s")}
        assert counts == {"line": "l", "received": 3, "verdict": 1, "waiting": 2, "normal": 1, "missing_after_s": 60.0}
        assert 'siad_books_captures{line="l",state="waiting"} 2.0' in (await http.get("/metrics")).text
