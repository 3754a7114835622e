"""Which weights stay in memory: the used ones, within the bounds, and no two lines push each other out unused."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siad.contracts.ids import WeightsId
from siad.models.residency import HALF_LIFE_S, UNUSED_S, Residency


def w(number: int) -> WeightsId:
    return WeightsId(f"w{number}")


def ask(residency: Residency, number: int, *, now_s: float, size_bytes: int = 1) -> bool:
    """Load weights if they are not in memory, and use them; return whether they were there."""
    is_hit = w(number) in residency
    if not is_hit:
        residency.add(w(number), size_bytes=size_bytes, now_s=now_s)
        residency.leave((), now_s=now_s)
    residency.use(w(number), now_s=now_s)
    return is_hit


def test_a_line_that_comes_once_displaces_only_another_such_line() -> None:
    residency = Residency(models_max=3, bytes_max=None)
    for now_s in range(10):
        ask(residency, 1, now_s=now_s)
        ask(residency, 2, now_s=now_s)
    for number in range(10, 20):
        ask(residency, number, now_s=number)
        assert w(1) in residency
        assert w(2) in residency


def test_a_line_that_begins_to_come_often_gets_its_place() -> None:
    residency = Residency(models_max=2, bytes_max=None)
    for now_s in range(10):
        ask(residency, 1, now_s=now_s)
        ask(residency, 2, now_s=now_s)
    hits = [ask(residency, number, now_s=10 + 10 * HALF_LIFE_S + second) for second in range(5) for number in (3, 2)]
    assert hits == [False, True, *[True] * 8]


def test_what_was_loaded_and_not_used_yet_stays_for_some_seconds() -> None:
    residency = Residency(models_max=2, bytes_max=None)
    ask(residency, 1, now_s=0)
    residency.add(w(2), size_bytes=1, now_s=1)
    residency.add(w(3), size_bytes=1, now_s=1)
    assert residency.leave((), now_s=1) == [w(1)]  # used, yet it goes: a capture waits for each of the others
    residency.use(w(3), now_s=2)
    residency.add(w(4), size_bytes=1, now_s=2 + UNUSED_S)
    assert residency.leave((), now_s=2 + UNUSED_S) == [w(2)]


def test_what_serves_no_place_goes_first() -> None:
    residency = Residency(models_max=2, bytes_max=None)
    for now_s in range(9):
        ask(residency, 1, now_s=now_s)
    ask(residency, 2, now_s=9)
    residency.add(w(3), size_bytes=1, now_s=10)
    assert residency.leave({w(2), w(3)}, now_s=10) == [w(1)]


@pytest.mark.parametrize("size_bytes", [1, 40, 100, 101, 1000])
def test_one_larger_than_the_room_serves_alone(size_bytes: int) -> None:
    residency = Residency(models_max=None, bytes_max=100)
    ask(residency, 1, now_s=0, size_bytes=30)
    ask(residency, 2, now_s=1, size_bytes=size_bytes)
    assert w(2) in residency
    assert residency.size_bytes <= max(100, size_bytes)


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(1, 60), st.floats(0, 100)), max_size=80),
    st.integers(1, 8),
    st.integers(60, 200),
)
def test_the_bounds_hold_whatever_is_asked(
    asked: list[tuple[int, int, float]], models_max: int, bytes_max: int
) -> None:
    residency, now_s = Residency(models_max=models_max, bytes_max=bytes_max), 0.0
    for number, size_bytes, pause_s in asked:
        now_s += pause_s
        ask(residency, number, now_s=now_s, size_bytes=size_bytes)
        assert w(number) in residency
        assert len(residency) <= models_max
        assert residency.size_bytes <= bytes_max


def test_more_hits_than_least_recently_used_where_few_lines_have_most_of_the_traffic() -> None:
    lines = random.Random(0).choices(range(200), [1 / (n + 1) for n in range(200)], k=20_000)
    residency = Residency(models_max=20, bytes_max=None)
    hits = sum(ask(residency, line, now_s=index / 20) for index, line in enumerate(lines))
    recent: list[int] = []
    recent_hits = 0
    for line in lines:
        recent_hits += line in recent
        recent = [*[one for one in recent if one != line], line][-20:]
    assert hits > recent_hits + 0.1 * len(lines)
