"""Keys that are parsed again, and places as text."""

import inspect
from datetime import UTC, date, datetime
from typing import Any

import pytest

from siad.contracts import keys
from siad.contracts.place import Place

PLACE = Place("press-1", "lid")


def test_a_place_is_read_back() -> None:
    assert str(PLACE) == "press-1/lid"
    assert Place.parse("press-1/lid") == PLACE


@pytest.mark.parametrize("text", ["", "press-1", "press-1/", "/lid", "press-1/lid/more"])
def test_another_text_is_no_place(text: str) -> None:
    with pytest.raises(ValueError, match="is not line/product"):
        Place.parse(text)


def test_keys_are_read_back() -> None:
    late = datetime(2026, 5, 4, 23, 30, tzinfo=UTC)
    assert keys.day_of_image(keys.image_key("press-1", late, "ab", "png")) == date(2026, 5, 4)
    assert keys.place_of_normal(keys.normal_key(*PLACE, "ab")) == PLACE
    assert keys.place_of_normal("normals/readme") is None
    assert keys.name_of(keys.normal_key(*PLACE, "ab")) == keys.name_of(keys.capture_key("press-1", "ab")) == "ab"
    assert keys.name_of(keys.line_pointer_key("press-1")) == "press-1"
    assert keys.capture_of_mask(keys.mask_key("press-1", "ab", "w")) == "ab"
    assert keys.weights_of_mask(keys.mask_key("press-1", "ab", "w")) == "w"
    of_verdict = keys.verdict_mask_key("press-1", "ab", "w")
    assert (keys.capture_of_mask(of_verdict), keys.weights_of_mask(of_verdict)) == ("ab", "w")
    of_revision = [make("press-1", "ab", "w", 7) for make in (keys.mask_key, keys.verdict_mask_key)]
    assert {keys.weights_of_mask(key) for key in of_revision} == {"w"}
    assert [keys.is_verdict_mask(key) for key in of_revision] == [False, True]
    assert of_verdict != keys.mask_key("press-1", "ab", "w")
    assert [keys.is_verdict_mask(key) for key in (of_verdict, keys.mask_key("press-1", "ab", "w"))] == [True, False]
    assert keys.place_of_weights_pointer(keys.weights_pointer_key("teacher", *PLACE)) == PLACE
    assert keys.run_of(keys.run_attempt_key("press-1.lid.000001", 2)) == "press-1.lid.000001"


def test_a_training_set_and_its_members_are_told_apart() -> None:
    rows, members = keys.training_set_key(*PLACE, "d"), keys.training_set_members_key(*PLACE, "d")
    assert keys.training_set_of(rows) == keys.members_of(members) == (PLACE, "d")
    assert keys.training_set_of(members) is keys.members_of(rows) is None


def test_every_key_lies_below_its_prefix() -> None:
    for key, prefix in {
        keys.normal_key(*PLACE, "ab"): keys.normals_prefix(*PLACE),
        keys.normals_prefix(*PLACE): keys.normals_prefix("press-1"),
        keys.normals_prefix("press-1"): keys.normals_prefix(),
        keys.mask_key("press-1", "ab", "w"): keys.masks_prefix("press-1", "ab"),
        keys.verdict_mask_key("press-1", "ab", "w"): keys.masks_prefix("press-1", "ab"),
        keys.masks_prefix("press-1", "ab"): keys.masks_prefix("press-1"),
        keys.training_set_key(*PLACE, "d"): keys.training_sets_prefix(*PLACE),
        keys.training_sets_prefix(*PLACE): keys.training_sets_prefix("press-1"),
        keys.manifest_key(*PLACE, "w"): keys.manifests_prefix("press-1"),
        keys.line_pointer_key("press-1"): keys.line_pointers_prefix(),
        keys.weights_pointer_key("teacher", *PLACE): keys.weights_pointers_prefix("teacher"),
        keys.run_attempt_key("press-1.lid.000001", 2): keys.run_attempts_prefix("press-1.lid.000001"),
        keys.run_attempts_prefix("press-1.lid.000001"): keys.runs_prefix(*PLACE),
    }.items():
        assert key.startswith(prefix)
        assert key != prefix


NAMED = {
    "line",
    "product",
    "capture_id",
    "image_id",
    "extension",
    "weights",
    "sha256",
    "digest",
    "run",
    "stage",
    "topic",
}
MAKERS = [
    make
    for name, make in vars(keys).items()
    if inspect.isfunction(make) and name.endswith(("_key", "_prefix")) and name != "lease_key"  # a lease is of a path
]


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: str(make.__name__))
@pytest.mark.parametrize("bad", ["x/../press-1", "..", ".", "a/b", "/", "a\n", "\0", "a\x7f"])
def test_no_name_reaches_beyond_its_part_of_a_key(make: Any, bad: str) -> None:
    good: dict[str, Any] = dict.fromkeys(inspect.signature(make).parameters, "x")
    good |= {"received_at": datetime(2026, 5, 4, tzinfo=UTC), "number": 1, "place": PLACE}
    given = {name: good[name] for name in inspect.signature(make).parameters}
    make(**given)
    for name in given.keys() & (NAMED | {"kind"}):
        with pytest.raises(ValueError, match="can't be a part of an object's key"):
            make(**given | {name: bad})


def test_an_empty_name_is_no_part_of_a_key() -> None:
    for make in (keys.images_prefix, keys.captures_prefix, keys.deletions_prefix, keys.manifests_prefix):
        with pytest.raises(ValueError, match="it is empty"):
            make("")
