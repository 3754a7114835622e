"""Waits grow, spread, and end with what they wait for."""

import asyncio

import pytest

from siad.contracts.errors import TransientError
from siad.runtime.backoff import Backoff, patiently
from siad.runtime.testing.clock import FakeClock


def test_waits_grow_and_the_last_one_repeats() -> None:
    backoff = Backoff(schedule_s=(0.1, 0.5, 2.0), draw=lambda: 0.5)
    assert [backoff.delay_s(attempt) for attempt in range(5)] == [0.1, 0.5, 2.0, 2.0, 2.0]


@pytest.mark.parametrize(("drawn", "delay_s"), [(0.0, 1.0), (0.5, 2.0), (0.999_999, 3.0)])
def test_not_everybody_comes_back_at_once(drawn: float, delay_s: float) -> None:
    assert Backoff(schedule_s=(2.0,), draw=lambda: drawn).delay_s(0) == pytest.approx(delay_s, abs=1e-5)


async def test_what_is_away_is_waited_for() -> None:
    clock, tries = FakeClock(), 0

    async def work() -> str:
        nonlocal tries
        tries += 1
        if tries < 4:
            raise TransientError("no broker")
        return "done"

    done = await patiently(work, what="topics", stop=asyncio.Event(), clock=clock, backoff=Backoff(spread=0))
    assert (done, clock.slept) == ("done", [0.1, 0.5, 2.0])


async def test_a_stop_ends_the_waiting() -> None:
    stop = asyncio.Event()

    async def work() -> None:
        stop.set()
        raise TransientError("no broker")

    with pytest.raises(TransientError, match="no broker"):
        await patiently(work, what="topics", stop=stop, clock=FakeClock())
