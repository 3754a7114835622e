"""What a person put off is not given to this person for a day, on every database."""

from datetime import UTC, datetime

from services.console.adapters.projection.store import SqlProjection
from services.console.domain.deferrals import DEFERRED_FOR, Deferral
from siad.contracts.deletion import DeletionIndex
from tests.unit.console.world import LINE_NAME, at_noon, name_of

NAMES = [name_of(number) for number in range(4)]
DAY_S = DEFERRED_FOR.total_seconds()


def deferral(number: int, person: str = "ann", *, after_s: float = 0, reason: str = "unclear") -> Deferral:
    return Deferral(
        line=LINE_NAME, capture_id=NAMES[number], person=person, reason=reason, deferred_at=at_noon(after_s)
    )


async def test_each_person_has_their_own_for_a_day(projection: SqlProjection) -> None:
    for number, person in ((0, "ann"), (1, "ann"), (1, "bob")):
        await projection.defer(deferral(number, person))
    assert await projection.deferred(LINE_NAME, "ann", at_noon(1)) == set(NAMES[:2])
    assert await projection.deferred(LINE_NAME, "bob", at_noon(1)) == {NAMES[1]}
    assert await projection.deferred(LINE_NAME, "", at_noon(1)) == set()
    assert await projection.deferred("press-2", "ann", at_noon(1)) == set()
    await projection.defer(deferral(1, after_s=60, reason="too dark"))
    assert await projection.deferred(LINE_NAME, "ann", at_noon(DAY_S)) == {NAMES[1]}, "the later one counts"
    found = await projection.deferrals(LINE_NAME, NAMES, at_noon(61))
    assert {name: [(one.person, one.reason) for one in ones] for name, ones in found.items()} == {
        NAMES[0]: [("ann", "unclear")],
        NAMES[1]: [("ann", "too dark"), ("bob", "unclear")],
    }
    await projection.resume(LINE_NAME, NAMES[1], "ann")
    await projection.resume(LINE_NAME, NAMES[1], "ann")
    assert await projection.deferred(LINE_NAME, "ann", at_noon(61)) == {NAMES[0]}
    assert await projection.deferred(LINE_NAME, "bob", at_noon(61)) == {NAMES[1]}


async def test_erased_captures_have_none(projection: SqlProjection) -> None:
    for number in range(3):
        await projection.defer(deferral(number))
    await projection.drop(LINE_NAME, DeletionIndex({NAMES[0]}))
    assert await projection.deferred(LINE_NAME, "ann", at_noon(1)) == set(NAMES[1:3])
    await projection.drop(LINE_NAME, DeletionIndex(before_at=datetime(2030, 1, 1, tzinfo=UTC)))
    assert await projection.deferrals(LINE_NAME, NAMES, at_noon(1)) == {}, "of a line whose captures were all erased"
