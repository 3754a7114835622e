"""Alive is progress: lag, no stated reason and no progress is dead."""

import asyncio

import pytest
from prometheus_client import REGISTRY

from siad.contracts.errors import TransientError
from siad.runtime.health import Health
from siad.runtime.metrics import PAUSED
from siad.runtime.testing.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def health(clock: FakeClock) -> Health:
    return Health("paint", clock=clock, stuck_after_s=60)


def test_a_stage_without_a_loop_is_alive(health: Health, clock: FakeClock) -> None:
    clock.advance(1000)
    assert health.liveness_failure() is None


def test_a_loop_that_stops_ticking_is_dead(health: Health, clock: FakeClock) -> None:
    health.tick()
    clock.advance(60)
    assert health.liveness_failure() is None
    clock.advance(1)
    assert health.liveness_failure() == "the consumer's loop has not gone round for 61 s"


def test_lag_without_progress_is_dead(health: Health, clock: FakeClock) -> None:
    clock.advance(500)  # long idle before the first record
    health.lag(3)
    clock.advance(59)
    assert health.liveness_failure() is None
    clock.advance(2)
    assert health.liveness_failure() == "3 records wait and no work was completed for 61 s"
    health.advance()
    assert health.liveness_failure() is None


def test_no_lag_needs_no_progress(health: Health, clock: FakeClock) -> None:
    health.lag(3)
    health.lag(0)
    clock.advance(1000)
    assert health.liveness_failure() is None


def test_paused_for_a_stated_reason_is_alive(health: Health, clock: FakeClock) -> None:
    health.lag(3)
    health.pause("handle a/0", "transient")
    clock.advance(1000)
    assert health.liveness_failure() is None
    health.resume("handle a/0")
    assert health.liveness_failure() is None  # it has only just gone on
    clock.advance(61)
    assert health.liveness_failure() is not None


def paused(reason: str) -> float | None:
    found = [s.value for m in PAUSED.collect() for s in m.samples if s.labels == {"stage": "paint", "reason": reason}]
    return found[0] if found else None


def test_a_reason_is_reported_while_any_part_has_it(health: Health) -> None:
    health.pause("publish a/0", "broker")
    health.pause("publish a/1", "broker")
    health.resume("publish a/0")
    assert paused("broker") == 1
    health.pause("publish a/1", "transient")
    assert (paused("broker"), paused("transient")) == (None, 1)
    health.resume("publish a/1")
    health.resume("publish a/1")
    assert paused("transient") is None
    assert health.paused() == {}


async def test_ready_is_when_every_check_holds(health: Health) -> None:
    broken = ["bucket siad refused"]

    async def fine() -> None:
        return

    async def store() -> None:
        if broken:
            raise TransientError(broken[0])

    health.checks.update(bus=fine, store=store)
    assert await health.readiness_failures() == {"store": "bucket siad refused"}
    broken.clear()
    assert await health.readiness_failures() == {}


async def test_a_check_that_is_added_while_others_are_asked_disturbs_no_other(health: Health) -> None:
    async def away() -> None:
        msg = "the broker is away"
        raise TransientError(msg)

    async def slow() -> None:
        health.checks["store"] = away  # as a stage does that is still starting

    health.checks["bus"] = slow
    assert await health.readiness_failures() == {}
    assert await health.readiness_failures() == {"store": "the broker is away"}


async def test_a_check_that_hangs_is_reported_in_time_and_not_asked_again_meanwhile() -> None:
    health, asked, answered = Health("paint", check_timeout_s=0.01), 0, asyncio.Event()

    async def hang() -> None:
        nonlocal asked
        asked += 1
        await answered.wait()

    health.checks["store"] = hang
    for _ in range(3):
        assert await health.readiness_failures() == {"store": "no answer in 0.01 s"}
    assert asked == 1
    labels = {"stage": "paint", "dependency": "store"}
    assert REGISTRY.get_sample_value("siad_missing_info", labels) == 1
    answered.set()
    await asyncio.sleep(0.02)
    assert await health.readiness_failures() == {}
    assert asked == 2
    assert REGISTRY.get_sample_value("siad_missing_info", labels) is None
