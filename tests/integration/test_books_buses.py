"""The capture ledger over a real bus and a real store: one keeper dies, another continues."""

import asyncio
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from siad.audit.keeper import LedgerKeeper, LedgerPolicy
from siad.audit.ledger import LineReport
from siad.audit.reader import LETTERS, ReaderLimits
from siad.audit.snapshot import read_report
from siad.contracts.codec import encode
from siad.contracts.topics import IMAGE, VERDICT
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.s3 import S3Blobs
from siad.runtime.bus.embedded.bus import EmbeddedBus
from siad.runtime.bus.port import Bus
from tests.fixtures.kafka import BUSES, quick_settings
from tests.unit.audit.test_keeper import send
from tests.unit.audit.test_ledger import image, letter, verdict

EVER_S = 1e9  # the captures of these tests are years old by the clock
LIMITS = ReaderLimits(poll_s=0.05, window_s=EVER_S)
QUICK = LedgerPolicy(write_every_s=0.05, idle_write_s=0.5, lease_s=2.0, limits=LIMITS)


@pytest.fixture(params=BUSES)
async def bus(request: pytest.FixtureRequest, tmp_path: Path) -> Bus:
    if request.param == "embedded":
        found: Bus = EmbeddedBus(quick_settings(f"embedded://{tmp_path}/bus.sqlite"))
    else:
        found = request.getfixturevalue("kafka_bus")
    await found.create_topics([IMAGE, VERDICT, LETTERS])
    return found


def keeper(bus: Bus, store: AsyncBlobs) -> LedgerKeeper:
    return LedgerKeeper(bus, store, missing_after_s=lambda _: 60.0, policy=QUICK)


async def page(store: AsyncBlobs, line: str) -> LineReport | None:
    report = await read_report(store)
    return next((one for one in report.lines if one.line == line), None) if report else None


async def until(store: AsyncBlobs, line: str, **wanted: int) -> LineReport:
    async with asyncio.timeout(40):
        while True:
            found = await page(store, line)
            if found is not None and all(getattr(found, name) == value for name, value in wanted.items()):
                return found
            await asyncio.sleep(0.1)


async def test_a_keeper_that_dies_is_replaced_and_nothing_counts_twice(bus: Bus, s3_blobs: S3Blobs) -> None:
    line, store = f"books-{uuid.uuid4().hex[:8]}", AsyncBlobs(s3_blobs)
    events = [image(number, line=line) for number in range(40)]
    await send(bus, *events[:30], *map(verdict, events[:20]))
    first = asyncio.create_task(keeper(bus, store).run(asyncio.Event()))
    await until(store, line, received=30, verdict=20, missing=10)
    stop = asyncio.Event()
    second = asyncio.create_task(keeper(bus, store).run(stop))
    first.cancel()  # it leaves its group, and writes no snapshot
    await asyncio.wait([first])
    buried = replace(letter(), key=f"{line}/0".encode(), payload=encode(events[20]))
    await send(bus, *events[25:], *map(verdict, events[10:15]), *map(verdict, events[21:]), buried)
    found = await until(store, line, received=40, verdict=39, waiting=0, dead_letter=1)
    stop.set()
    await second
    store.close()
    assert (found.missing, found.missing_names, found.stale) == (0, (), 0)
