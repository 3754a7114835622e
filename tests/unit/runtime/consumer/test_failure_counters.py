"""What poison in a row says, as tables: one letter a record, capitals for poison, by line."""

import random

import pytest

from siad.runtime.consumer.failure_counters import LINES_MAX, UNNAMED, FailureCounters, line_of

EVERY_S = 60.0


def play(story: str, *, poison_max: int = 3) -> tuple[FailureCounters, str]:
    """Judge one record after the other: "A" is poison of line a, "a" a record of it that worked; "." is a minute.

    Returns what was done: "A" buried, "q" not tried for its line is in quarantine, "|" the stage stood still there
    and held it, "a" handled.
    """
    counters, now_s, done = FailureCounters(poison_max, EVERY_S), 0.0, ""
    for letter in story:
        if letter == ".":
            now_s += EVERY_S
            continue
        line = letter.lower()
        if counters.is_open and not counters.take_trial(now_s=now_s):
            done += "-"
            continue
        if not counters.is_open and not counters.may_handle(line, now_s=now_s):
            done += "q"
            continue
        poison = [line] if letter.isupper() else []
        if poison and (counters.is_open or counters.would_open(poison)):
            counters.open(now_s=now_s)
            done += "|"
            continue
        counters.count(poison=poison, handled=set() if poison else {line}, now_s=now_s)
        done += letter
    return counters, done


@pytest.mark.parametrize(
    ("story", "done"),
    [
        ("AAAA", "AAAq"),  # the third is the last that is tried
        ("AAaAAa", "AAaAAa"),  # what works ends a streak
        ("AAbAbb", "AAbAbb"),  # of its line and no other: here its third
        ("AAbAAb", "AAbAqb"),
        ("AAAa", "AAAq"),  # the loop cannot know that it would work
        ("AAA.aA", "AAAaA"),  # but one a minute is tried, and that one ends the quarantine
        ("AAA.AA.AA", "AAAAqAq"),  # or does not
        ("AAAbB", "AAAbB"),  # others go on
        ("ABA", "AB|"),  # two lines: nothing is buried past it
        ("ABAaB", "AB|--"),  # nor tried, for a minute
        ("ABA.aB", "AB|aB"),  # until one works
        ("ABA.A.B.b", "AB||" + "|b"),  # one a minute
        ("AAAB", "AAAB"),  # a line in quarantine has had its say
        ("AAABBB", "AAABB|"),  # but a second one, and nothing worked in between: that is the stage
        ("AAAcBBB", "AAAcBBB"),  # something worked: two lines that went bad
        ("AAB", "AA|"),
        ("AaBbAaBb", "AaBbAaBb"),
    ],
)
def test_who_is_open_by_what(story: str, done: str) -> None:
    assert play(story)[1] == done


def test_nineteen_are_too_few_and_twenty_are_not() -> None:
    assert play("A" * 19 + "aA", poison_max=20)[1].endswith("aA")
    assert play("A" * 21, poison_max=20)[1] == "A" * 20 + "q"
    assert play("AB" * 10, poison_max=20)[1] == "AB" * 9 + "A|"


@pytest.mark.parametrize("seed", range(50))
def test_as_a_slow_reader_of_the_whole_past_would_have_it(seed: int) -> None:
    """Without time going by, what is buried obeys two sentences about what was done before it."""
    draw = random.Random(seed)
    story = "".join(draw.choices("AABBCabc", weights=[8, 8, 4, 2, 1, 1, 1, 1], k=40))
    _, done = play(story, poison_max=4)
    past = ""
    for letter, fate in zip(story, done, strict=True):
        line = letter.lower()
        tried = [one for one in past if one.isalpha() and one != "q"]
        gone = {one for one in "abc" if "".join(it for it in tried if it.lower() == one).endswith(one.upper() * 4)}
        worked = [number for number, one in enumerate(tried) if one.islower()]
        row = [one.lower() for one in tried[worked[-1] + 1 if worked else 0 :]] + [line]
        if "|" in past:
            assert fate == "-"
        elif line in gone:
            assert fate == "q"
        elif letter.isupper() and len(set(row)) > 1 and len([one for one in row if one not in gone]) >= 4:
            assert fate == "|"
        else:
            assert fate == letter
        past += fate


def test_what_worked_in_a_batch_came_last() -> None:
    counters = FailureCounters(3, EVERY_S)
    counters.count(poison=["a"] * 9 + ["b"] * 9, handled={"a", "c"}, now_s=0)
    assert counters.quarantined == {"b"}  # nine of b and none that worked
    assert not counters.would_open(["b", "a"])


def test_a_batch_would_open_the_stage_before_anything_is_counted() -> None:
    counters = FailureCounters(3, EVERY_S)
    assert counters.would_open(["a", "b", "a"])
    assert not counters.would_open(["a", "a", "a"])
    assert not counters.would_open(["a", "b"])


def test_a_turn_that_taught_nothing_is_given_back() -> None:
    counters, _ = play("AAA")
    assert counters.may_handle("a", now_s=EVERY_S)
    assert not counters.may_handle("a", now_s=EVERY_S)
    counters.uncount({"a", "b"}, now_s=EVERY_S)
    assert counters.may_handle("a", now_s=EVERY_S)


def test_what_changed_is_told_once() -> None:
    counters, _ = play("AA")
    assert counters.count(poison=["a"], handled=set(), now_s=0).quarantined == ("a",)
    assert counters.count(poison=["a"], handled=set(), now_s=0).quarantined == ()
    assert counters.count(poison=[], handled={"a"}, now_s=0).lifted == ("a",)
    assert counters.count(poison=[], handled={"a"}, now_s=0).lifted == ()
    counters.open(now_s=0)
    assert counters.count(poison=[], handled={"a"}, now_s=0).has_closed
    assert not counters.count(poison=[], handled={"a"}, now_s=0).has_closed


def test_endless_names_do_not_fill_the_memory() -> None:
    counters = FailureCounters(10**9, EVERY_S)
    for number in range(3 * LINES_MAX):
        counters.count(poison=[f"line-{number}"], handled=set(), now_s=0)
        counters.count(poison=[], handled={"calm"}, now_s=0)
    assert len(counters._of_line) == LINES_MAX


@pytest.mark.parametrize(
    ("key", "line"),
    [
        (b"cell-3/7", "cell-3"),
        (b"cell-3", "cell-3"),
        (b"", UNNAMED),
        (b"/7", UNNAMED),
        (b"Cell 3/7", UNNAMED),
        (b"\xff\xfe/7", UNNAMED),
        (b"a" * 64, UNNAMED),
    ],
)
def test_the_line_is_what_the_key_says_before_the_stroke(key: bytes, line: str) -> None:
    assert line_of(key) == line
