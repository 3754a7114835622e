"""Backoff: waits grow and spread, and end once the dependency is available."""

import pytest

from siad.contracts.errors import TransientError
from siad.runtime.backoff import Backoff, until_available
from siad.runtime.testing.clock import FakeClock


def test_waits_grow_and_the_last_one_repeats() -> None:
    backoff = Backoff(schedule_s=(0.1, 0.5, 2.0), draw=lambda: 0.5)
    assert [backoff.delay_s(attempt) for attempt in range(5)] == [0.1, 0.5, 2.0, 2.0, 2.0]


@pytest.mark.parametrize(("drawn", "delay_s"), [(0.0, 1.0), (0.5, 2.0), (0.999_999, 3.0)])
def test_jitter_spreads_the_retries_of_clients(drawn: float, delay_s: float) -> None:
    assert Backoff(schedule_s=(2.0,), draw=lambda: drawn).delay_s(0) == pytest.approx(delay_s, abs=1e-5)


async def test_repeats_until_the_dependency_is_available() -> None:
    clock, tries = FakeClock(), 0

    async def work() -> str:
        nonlocal tries
        tries += 1
        if tries < 4:
            raise TransientError("no broker")
        return "done"

    assert await until_available(work, what="topics", clock=clock, backoff=Backoff(spread=0)) == "done"
    assert clock.slept == [0.1, 0.5, 2.0]


async def test_a_bug_ends_the_waiting() -> None:
    async def work() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await until_available(work, what="topics", clock=FakeClock())
