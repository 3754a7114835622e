"""Leases: one holder at a time, for as long as clocks agree."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from siad.core.keys import lease_key
from siad.runtime.blobs.port import Blobs
from siad.runtime.leases import Leases
from siad.runtime.testing.clock import FakeClock


def test_a_lease_is_one_holders_until_it_is_given_back(blobs: Blobs) -> None:
    clock = FakeClock()
    a, b = Leases(blobs, holder="a", clock=clock), Leases(blobs, holder="b", clock=clock)
    lease = a.acquire("fit-line-1", ttl_s=30)
    assert lease is not None
    assert b.acquire("fit-line-1", ttl_s=30) is None
    assert b.acquire("fit-line-2", ttl_s=30) is not None
    a.release(lease)
    assert b.acquire("fit-line-1", ttl_s=30) is not None


def test_a_lease_that_ran_out_is_taken_over_and_can_not_be_renewed(blobs: Blobs) -> None:
    clock = FakeClock()
    a, b = Leases(blobs, holder="a", clock=clock), Leases(blobs, holder="b", clock=clock)
    lease = a.acquire("fit", ttl_s=30)
    assert lease is not None
    clock.advance(31)
    taken = b.acquire("fit", ttl_s=30)
    assert taken is not None
    assert a.renew(lease, ttl_s=30) is None
    a.release(lease)  # lost: harmless
    assert b.renew(taken, ttl_s=30) is not None


def test_a_renewed_lease_lasts_longer(blobs: Blobs) -> None:
    clock = FakeClock()
    a, b = Leases(blobs, holder="a", clock=clock), Leases(blobs, holder="b", clock=clock)
    lease = a.acquire("fit", ttl_s=30)
    assert lease is not None
    clock.advance(20)
    assert a.renew(lease, ttl_s=30) is not None
    clock.advance(20)
    assert b.acquire("fit", ttl_s=30) is None


def test_a_holder_that_was_restarted_has_its_lease_back(blobs: Blobs) -> None:
    clock = FakeClock()
    assert Leases(blobs, holder="pod-1", clock=clock).acquire("fit", ttl_s=30) is not None
    assert Leases(blobs, holder="pod-1", clock=clock).acquire("fit", ttl_s=30) is not None


@pytest.mark.parametrize("name", ["fit-1", "fit-2", "fit-3"])
def test_of_many_who_want_it_one_gets_it(blobs: Blobs, name: str) -> None:
    clock = FakeClock()

    def want(racer: int) -> bool:
        return Leases(blobs, holder=f"h{racer}", clock=clock).acquire(name, ttl_s=30) is not None

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(want, range(6))) == 1


def test_what_is_no_lease_stops_nobody(blobs: Blobs) -> None:
    blobs.put(lease_key("fit"), b"garbage")
    assert Leases(blobs, holder="a", clock=FakeClock()).acquire("fit", ttl_s=30) is not None
