"""Leases: one holder at a time, for as long as clocks agree."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from siad.contracts.errors import TransientError
from siad.contracts.keys import lease_key
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.blobs.port import Blobs
from siad.runtime.store.leases import Leases
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


def winners(blobs: Blobs, clock: FakeClock, name: str) -> int:
    """How many of six who want a lease at once get it."""

    def want(racer: int) -> bool:
        return Leases(blobs, holder=f"h{racer}", clock=clock).acquire(name, ttl_s=30) is not None

    with ThreadPoolExecutor(6) as pool:
        return sum(pool.map(want, range(6)))


def test_of_many_who_want_it_one_gets_it_and_again_once_it_ran_out(blobs: Blobs) -> None:
    clock = FakeClock()
    assert winners(blobs, clock, "fit") == 1
    assert winners(blobs, clock, "fit") == 1  # the holder itself, whose lease it is
    clock.advance(31)
    assert winners(blobs, clock, "fit") == 1


def test_what_was_given_back_is_free_for_one_whose_clock_is_slow(blobs: Blobs) -> None:
    clock, slow = FakeClock(), FakeClock()
    clock.advance(10)
    a, b = Leases(blobs, holder="a", clock=clock), Leases(blobs, holder="b", clock=slow)
    lease = a.acquire("fit", ttl_s=30)
    assert lease is not None
    a.release(lease)
    assert b.acquire("fit", ttl_s=30) is not None


def test_a_lease_that_was_renewed_is_given_back_by_its_last_word(blobs: Blobs) -> None:
    clock = FakeClock()
    a, b = Leases(blobs, holder="a", clock=clock), Leases(blobs, holder="b", clock=clock)
    first = a.acquire("fit", ttl_s=30)
    assert first is not None
    clock.advance(1)
    second = a.renew(first)
    assert second is not None
    assert second.expires_at - first.expires_at == timedelta(seconds=1)  # as long as it was taken for
    a.release(first)  # old news
    assert b.acquire("fit", ttl_s=30) is None
    a.release(second)
    assert b.acquire("fit", ttl_s=30) is not None


def test_without_the_store_no_process_gets_a_lease() -> None:
    blobs = MemoryBlobs()
    leases = Leases(blobs, holder="a", clock=FakeClock())
    lease = leases.acquire("fit", ttl_s=30)
    assert lease is not None
    blobs.down = True
    with pytest.raises(TransientError):
        leases.acquire("fit", ttl_s=30)
    with pytest.raises(TransientError):
        leases.renew(lease)
    with pytest.raises(TransientError):
        leases.release(lease)


@pytest.mark.parametrize("garbage", [b"garbage", b"[]", b"{}", b'{"holder": "b", "expires_at": "tomorrow"}'])
def test_what_is_no_lease_blocks_no_process(garbage: bytes) -> None:
    blobs = MemoryBlobs()
    blobs.put(lease_key("fit"), garbage)
    assert Leases(blobs, holder="a", clock=FakeClock()).acquire("fit", ttl_s=30) is not None
