"""The typed JSON codec: every type hint there and back, and what it refuses."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone
from enum import StrEnum
from typing import Any, Literal, NamedTuple, NewType

import pytest

from siad.contracts.errors import CorruptError
from siad.contracts.json_codec import (
    FLATTEN,
    OMIT_IF_DEFAULT,
    SKIP,
    JsonRecord,
    JsonStyle,
    read_json,
    to_plain,
    write_json,
)

NOON = datetime(2026, 5, 4, 12, 0, 0, 5, tzinfo=UTC)
Name = NewType("Name", str)


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Pair(NamedTuple):
    left: str
    right: int = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    name: Name
    scores: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.name == "bad":
            msg = "bad is no name"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree(JsonRecord):
    name: str
    count: int
    share: float
    is_on: bool
    colour: Colour
    size: Literal["s", "l"]
    at: datetime
    day: date
    pair: Pair
    leaf: Leaf
    best: Leaf | None = None
    rows: tuple[tuple[str, float], ...] = ()
    leaves: Sequence[Leaf] = ()
    names: frozenset[str] = frozenset()
    others: Collection[str] = frozenset()
    by_line: Mapping[str, Leaf] = field(default_factory=dict)


TREE = Tree(
    name="№ 7",
    count=3,
    share=0.25,
    is_on=True,
    colour=Colour.BLUE,
    size="l",
    at=NOON,
    day=date(2026, 5, 4),
    pair=Pair("l", 2),
    leaf=Leaf(name=Name("a"), scores=(1.0, 1e-7)),
    best=Leaf(name=Name("b")),
    rows=(("x", 1.5), ("y", 2.0)),
    leaves=(Leaf(name=Name("c")),),
    names=frozenset({"b", "a"}),
    others=frozenset({"z"}),
    by_line={"line-1": Leaf(name=Name("d"))},
)


def changed(**change: Any) -> bytes:
    return json.dumps(json.loads(TREE.to_json()) | change).encode()


def test_a_value_comes_back_as_it_was() -> None:
    assert Tree.from_json(TREE.to_json()) == TREE


def test_equal_values_give_equal_bytes() -> None:
    there = timezone(timedelta(hours=9))
    same = json.loads(TREE.to_json())
    assert json.loads(write_json(read_json(Tree, changed(at=NOON.astimezone(there).isoformat())))) == same
    assert TREE.to_json() == write_json(read_json(Tree, json.dumps(dict(reversed(same.items()))).encode()))
    assert b'"names":["a","b"]' in TREE.to_json()


def test_an_integer_in_a_float_field_stays_one() -> None:
    assert b'"share":1,"size"' in Tree.from_json(changed(share=1)).to_json()


@pytest.mark.parametrize(
    ("style", "text"),
    [
        (JsonStyle.COMPACT, b'{"left":"x","right":1}'),
        (JsonStyle.SPACED, b'{"left": "x", "right": 1}'),
        (JsonStyle.INDENTED, b'{\n "left": "x",\n "right": 1\n}'),
        (JsonStyle.ORDERED, b'{"left":"x","right":1}'),
    ],
)
def test_styles(style: JsonStyle, text: bytes) -> None:
    assert write_json(Pair("x", 1), style) == text


def test_only_the_ordered_style_keeps_the_order_of_a_mapping() -> None:
    assert write_json({"b": 1, "a": 2}) == b'{"a":2,"b":1}'
    assert write_json({"b": 1, "a": 2}, JsonStyle.ORDERED) == b'{"b":1,"a":2}'


def test_an_unknown_field_is_ignored_and_a_missing_one_takes_its_default() -> None:
    raw = {name: value for name, value in json.loads(TREE.to_json()).items() if name not in ("rows", "by_line")}
    found = Tree.from_json(json.dumps(raw | {"newer": [1]}).encode())
    assert (found.rows, found.by_line) == ((), {})
    assert read_json(Pair, b'{"left":"x"}') == Pair("x", 7)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "0 bytes are not a Tree: Expecting value"),
        (b"\xff", "1 bytes are not a Tree"),
        (b"[]", r"\[\] is not a dict"),
        (b"{}", "name is missing"),
        (b"[" * 100_000, "are not a Tree"),
        (changed(name=1), "name: 1 is not a str"),
        (changed(name=None), "name: None is not a str"),
        (changed(count=1.0), "count: 1.0 is not a int"),
        (changed(count=True), "count: True is not an int"),
        (changed(share="1"), "share: '1' is not a number"),
        (changed(share=True), "share: True is not a number"),
        (changed(is_on=1), "is_on: 1 is not a bool"),
        (changed(colour="green"), "colour: 'green' is not a valid Colour"),
        (changed(size="m"), "size: 'm' is none of"),
        (changed(at="2026-05-04T12:00:00"), "at: 2026-05-04T12:00:00 has no zone"),
        (changed(at="noon"), "at: Invalid isoformat"),
        (changed(day="2026-13-01"), "day: month"),
        (changed(pair={"right": 1}), "pair.left is missing"),
        (changed(leaf={"name": 1}), "leaf.name: 1 is not a str"),
        (changed(leaf={"name": "bad"}), "leaf: bad is no name"),
        (changed(leaf=None), "leaf: None is not a dict"),
        (changed(rows=[["x"]]), "rows: 1 items, 2 expected"),
        (changed(rows=[["x", "y"]]), "rows: 'y' is not a number"),
        (changed(leaves=[{}]), "leaves.name is missing"),
        (changed(names="ab"), "names: 'ab' is not a list"),
        (changed(by_line={"l": {}}), "by_line.l.name is missing"),
        (changed(by_line=[]), r"by_line: \[\] is not a dict"),
    ],
)
def test_a_refusal_names_type_and_field(data: bytes, text: str) -> None:
    with pytest.raises(CorruptError, match=text):
        Tree.from_json(data)


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (float("nan"), ValueError),
        (datetime(2026, 5, 4), ValueError),  # noqa: DTZ001 - without a zone, which is what is refused
        (b"bytes", TypeError),
        ({1: "x"}, TypeError),
        (object(), TypeError),
    ],
)
def test_what_has_no_form_in_json_is_not_written(value: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        write_json(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Strange:
    what: bytes


def test_a_hint_without_a_form_is_a_bug_and_no_corrupt_document() -> None:
    with pytest.raises(NotImplementedError, match="bytes"):
        read_json(Strange, b'{"what":"x"}')


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    leaf: Leaf = field(metadata=FLATTEN)
    region: tuple[float, ...] = field(default=(), metadata=OMIT_IF_DEFAULT)
    etag: str = field(default="none", metadata=SKIP)


def test_field_options() -> None:
    plain = Options(leaf=Leaf(name=Name("a")), etag="e")
    assert to_plain(plain) == {"name": "a", "scores": []}
    assert to_plain(Options(leaf=Leaf(name=Name("a")), region=(0.5,))) == {"name": "a", "scores": [], "region": [0.5]}
    assert read_json(Options, b'{"name":"a","etag":"x"}') == Options(leaf=Leaf(name=Name("a")))
