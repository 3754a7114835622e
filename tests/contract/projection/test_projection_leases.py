"""A capture that one page shows is given to no other, on every database."""

import asyncio
from datetime import timedelta

from services.console.adapters.projection.store import SqlProjection
from services.console.domain.leases import LEASE_TTL, LeaseHolder
from siad.contracts.deletion import DeletionIndex
from tests.unit.console.world import LINE_NAME, at_noon, name_of

NAMES = [name_of(number) for number in range(6)]


def page(name: str, *, after_s: float = 0) -> LeaseHolder:
    return LeaseHolder(line=LINE_NAME, name=name, now=at_noon(after_s))


async def test_what_one_page_has_another_is_not_given(projection: SqlProjection) -> None:
    assert await projection.lease(page("ann"), NAMES[:3]) == set(NAMES[:3])
    assert await projection.lease(page("bob"), NAMES[2:5]) == set(NAMES[3:5])
    assert await projection.leased(page("bob")) == set(NAMES[:3])
    assert await projection.leased(page("ann")) == set(NAMES[3:5])
    other_line = LeaseHolder(line="press-2", name="bob", now=at_noon(0))
    assert await projection.lease(other_line, NAMES[:3]) == set(NAMES[:3])
    assert await projection.lease(page("ann"), []) == set()


async def test_a_lease_ends_by_time_and_is_renewed(projection: SqlProjection) -> None:
    ttl_s = LEASE_TTL / timedelta(seconds=1)
    await projection.lease(page("ann"), NAMES[:2])
    assert await projection.lease(page("ann", after_s=ttl_s - 1), NAMES[:1]) == set(NAMES[:1])  # renewed
    assert await projection.leased(page("bob", after_s=ttl_s)) == set(NAMES[:1])
    assert await projection.lease(page("bob", after_s=ttl_s), NAMES[:2]) == set(NAMES[1:2])
    assert await projection.lease(page("bob", after_s=2 * ttl_s), NAMES[:2]) == set(NAMES[:2])


async def test_only_the_holder_releases_and_erased_captures_have_none(projection: SqlProjection) -> None:
    await projection.lease(page("ann"), NAMES[:3])
    await projection.release(page("bob"), NAMES[:3])
    assert await projection.leased(page("bob")) == set(NAMES[:3])
    await projection.release(page("ann"), NAMES[:1])
    assert await projection.leased(page("bob")) == set(NAMES[1:3])
    await projection.drop(LINE_NAME, DeletionIndex({NAMES[1]}))
    assert await projection.leased(page("bob")) == set(NAMES[2:3])


async def test_two_consoles_that_ask_at_once_give_each_capture_once(
    projection: SqlProjection, another: SqlProjection
) -> None:
    for turn in range(10):
        names = [name_of(100 * turn + number) for number in range(20)]
        found = await asyncio.gather(
            projection.lease(page("ann"), names), another.lease(page("bob"), list(reversed(names)))
        )
        assert sorted([*found[0], *found[1]]) == names
