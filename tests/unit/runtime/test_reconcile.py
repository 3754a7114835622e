"""Look, plan, act, and look again: under leases, through outages, and no bug survives."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import pytest

from siad.contracts.errors import (
    ConflictError,
    CorruptError,
    DeniedError,
    MissingError,
    OutOfMemoryError,
    PoisonError,
    TransientError,
)
from siad.runtime import trace
from siad.runtime.context import StageContext
from siad.runtime.health import Health
from siad.runtime.reconcile import reconcile
from siad.runtime.testing.clock import FakeClock
from siad.runtime.testing.waiting import until, until_grown


@dataclass(frozen=True)
class Paint:
    """One coat."""

    coat: int


@dataclass
class Fence:
    """Work: every fence needs so many coats."""

    stop: asyncio.Event
    wanted: dict[str, int]
    coats: dict[str, int] = field(default_factory=dict)
    diary: list[str] = field(default_factory=list)
    troubles: dict[str, list[BaseException]] = field(default_factory=dict)
    slow: dict[str, asyncio.Event] = field(default_factory=dict)
    health: Health = field(default_factory=lambda: Health("paint"))
    spans: list[trace.TraceSpan | None] = field(default_factory=list)  # current during each action

    async def names(self) -> Sequence[str]:
        if self.troubles.get("names"):
            raise self.troubles["names"].pop(0)
        return list(self.wanted)

    async def observe(self, name: str) -> tuple[int, int]:
        return self.coats.get(name, 0), self.wanted[name]

    def plan(self, state: tuple[int, int], now: datetime) -> Sequence[Paint]:
        assert now.tzinfo is not None
        return [Paint(coat) for coat in range(state[0], state[1])]

    async def act(self, name: str, action: Paint) -> None:
        if name in self.slow:
            await self.slow[name].wait()
        if self.troubles.get(name):
            raise self.troubles[name].pop(0)
        self.spans.append(trace.CURRENT.get())
        self.diary.append(f"{name} {action.coat}")
        self.coats[name] = action.coat + 1
        if self.coats == self.wanted:
            self.stop.set()


@dataclass
class FakeLeases:
    """Leases in a dict."""

    held: dict[str, str] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)

    def acquire(self, name: str, ttl_s: float) -> str | None:
        self.lines.append(f"acquire {name}")
        return None if name in self.held else self.held.setdefault(name, name)

    def renew(self, lease: str) -> str:
        return lease

    def release(self, lease: str) -> None:
        self.lines.append(f"release {lease}")
        del self.held[lease]


async def run(fence: Fence, leases: FakeLeases, clock: FakeClock, nudge: asyncio.Event | None = None) -> None:
    async with asyncio.timeout(2):
        health = fence.health = Health("paint", clock=clock)
        context = StageContext(stage="paint", health=health, stop=fence.stop, clock=clock)
        await reconcile(fence, context, leases, nudge=nudge)


@pytest.fixture
def leases() -> FakeLeases:
    return FakeLeases()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


async def test_does_what_the_plan_says_under_a_lease(leases: FakeLeases, clock: FakeClock) -> None:
    fence = Fence(asyncio.Event(), {"a": 2})
    await run(fence, leases, clock)
    assert fence.diary == ["a 0", "a 1"]
    assert leases.lines == ["acquire a", "release a"]


async def test_where_nothing_is_to_be_done_no_lease_is_taken(leases: FakeLeases, clock: FakeClock) -> None:
    fence = Fence(asyncio.Event(), {"a": 1, "done": 1}, coats={"done": 1})
    await run(fence, leases, clock)
    assert leases.lines == ["acquire a", "release a"]


async def test_what_another_replica_has_is_left_to_it(leases: FakeLeases, clock: FakeClock) -> None:
    fence = Fence(asyncio.Event(), {"a": 1, "b": 1})
    leases.held["a"] = "another replica"
    running = asyncio.create_task(run(fence, leases, clock))
    await until(lambda: leases.lines.count("acquire a") >= 3 and fence.diary != [])
    assert fence.diary == ["b 0"]
    leases.held.clear()
    await running
    assert fence.diary == ["b 0", "a 0"]


@pytest.mark.parametrize(
    "error",
    [
        TransientError("store unavailable"),
        DeniedError("403"),
        ConflictError("pointer moved"),
        CorruptError("no JSON"),
        MissingError("no manifest"),
        PoisonError("not a line"),
        OutOfMemoryError("12 GB wanted"),
        OSError(28, "No space left on device"),
        TimeoutError(),
        MemoryError(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_what_fails_in_passing_is_planned_anew(leases: FakeLeases, clock: FakeClock, error: Exception) -> None:
    fence = Fence(asyncio.Event(), {"a": 1}, troubles={"a": [error, error], "names": [TransientError("away")]})
    await run(fence, leases, clock)
    assert fence.diary == ["a 0"]
    assert leases.held == {}
    assert clock.monotonic() > 2  # it backed off


async def test_a_unit_that_takes_long_holds_up_no_other(leases: FakeLeases, clock: FakeClock) -> None:
    fence = Fence(asyncio.Event(), {"a": 1, "b": 1}, slow={"a": asyncio.Event()})
    running = asyncio.create_task(run(fence, leases, clock))
    await until(lambda: fence.diary != [] and "acquire a" in leases.lines)
    await until_grown(lambda: len(clock.slept), by=100)  # twenty seconds: two rounds
    assert fence.diary == ["b 0"]
    assert leases.lines.count("acquire a") == 1  # and is not begun twice
    fence.slow["a"].set()
    await running
    assert fence.diary == ["b 0", "a 0"]


async def test_a_bug_comes_out(leases: FakeLeases, clock: FakeClock) -> None:
    fence = Fence(asyncio.Event(), {"a": 1}, troubles={"a": [ZeroDivisionError()]})
    with pytest.raises(ZeroDivisionError):
        await run(fence, leases, clock)
    assert leases.held == {}


async def test_a_stop_cancels_what_is_under_way_and_gives_the_lease_back(leases: FakeLeases, clock: FakeClock) -> None:
    fence = Fence(asyncio.Event(), {"a": 1}, slow={"a": asyncio.Event()})
    running = asyncio.create_task(run(fence, leases, clock))
    await until(lambda: leases.held == {"a": "a"})
    fence.stop.set()
    await running
    assert leases.held == {}
    assert fence.diary == []


async def test_a_nudge_plans_at_once(leases: FakeLeases) -> None:
    class StoppedClock(FakeClock):
        async def sleep(self, seconds: float) -> None:
            self.slept.append(seconds)
            await asyncio.sleep(0)  # the time does not move, so only a nudge can be the reason

    nudge, clock = asyncio.Event(), StoppedClock()
    fence = Fence(asyncio.Event(), {"a": 1}, coats={"a": 1})
    running = asyncio.create_task(run(fence, leases, clock, nudge))
    await until_grown(lambda: len(clock.slept), by=10)
    fence.wanted["a"] = 2
    await until_grown(lambda: len(clock.slept), by=10)
    assert fence.diary == []
    nudge.set()
    await running
    assert fence.diary == ["a 1"]


async def test_denied_access_shows_in_readiness_until_it_is_back(leases: FakeLeases, clock: FakeClock) -> None:
    troubles: list[BaseException] = [DeniedError("could not read s3://plant/lines: AccessDenied")] * 100_000
    fence = Fence(asyncio.Event(), {"a": 1}, troubles={"a": troubles})
    running = asyncio.create_task(run(fence, leases, clock))
    await until(lambda: bool(fence.health.reports))
    assert (await fence.health.readiness_failures())["Fence a"].startswith("access denied: could not read s3://plant")
    troubles.clear()
    await running
    assert fence.diary == ["a 0"]
    assert await fence.health.readiness_failures() == {}


async def test_every_unit_acts_within_a_trace_of_its_own() -> None:
    fence = Fence(asyncio.Event(), {"a": 1, "b": 1})
    await run(fence, FakeLeases(), FakeClock())
    spans = [span for span in fence.spans if span is not None]
    assert len(spans) == 2
    assert len({span.trace_id for span in spans}) == 2
