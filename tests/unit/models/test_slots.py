"""Slots: load beside, swap one reference, never lose what serves."""

import threading

import pytest

from siad.contracts.ids import WeightsId
from siad.contracts.place import Place
from siad.models.predictor import Predictor
from siad.models.slots import Room, Slots
from tests.manifests import make_manifest
from tests.runners import BrightnessRunner

A, B, C = (Place(line, "p") for line in "abc")


def predictor_of(place: Place, weights: str) -> Predictor:
    return Predictor(make_manifest(line=place.line, product=place.product, code_version=weights), BrightnessRunner())


class Shelf:
    """A loader that counts, and refuses what is broken."""

    def __init__(self) -> None:
        self.loaded: list[str] = []

    def __call__(self, place: Place, weights: WeightsId) -> Predictor:
        self.loaded.append(weights)
        if weights.startswith("broken"):
            raise ValueError(f"weights {weights} are broken")
        return predictor_of(place, weights)


def name(text: str) -> WeightsId:
    return WeightsId(text)


def serving(slots: Slots, place: Place = A) -> str | None:
    weights = slots.current_weights(place)
    return None if weights is None else slots.predictor(place, weights).manifest.code_version


def test_before_the_first_swap_nothing_serves() -> None:
    assert serving(Slots(Shelf(), Room(models_max=4))) is None


def test_a_swap_serves_the_new_and_keeps_the_old_hot() -> None:
    shelf = Shelf()
    slots = Slots(shelf, Room(models_max=4))
    slots.swap(A, name("one"))
    slots.swap(A, name("two"))
    assert serving(slots) == "two"
    assert slots.previous_weights(A) == "one"
    slots.swap(A, name("one"))
    assert serving(slots) == "one"
    assert shelf.loaded == ["one", "two"]  # the way back loaded nothing


def test_many_swaps_leave_two_in_memory() -> None:
    slots = Slots(Shelf(), Room(models_max=16))
    for number in range(20):
        slots.swap(A, name(f"s{number}"))
        slots.predictor(A, name(f"s{number}"))
        slots.drop_replaced()
    assert slots.loaded() == ["s18", "s19"]
    slots.swap(B, name("s18"))
    slots.swap(A, name("s20"))
    slots.swap(A, name("s21"))
    slots.drop_replaced()
    assert set(slots.loaded()) == {"s18", "s20", "s21"}  # another place has s18


def test_a_failed_load_leaves_the_old_serving() -> None:
    slots = Slots(Shelf(), Room(models_max=4))
    slots.swap(A, name("one"))
    with pytest.raises(ValueError, match="broken"):
        slots.swap(A, name("broken"))
    assert serving(slots) == "one"
    assert slots.previous_weights(A) is None


def test_a_failed_load_is_tried_again() -> None:
    shelf = Shelf()
    slots = Slots(shelf, Room(models_max=4))
    for _ in range(2):
        with pytest.raises(ValueError, match="broken"):
            slots.swap(A, name("broken"))
    assert shelf.loaded == ["broken", "broken"]


def test_the_same_weights_again_keep_the_way_back() -> None:
    slots = Slots(Shelf(), Room(models_max=4))
    for weights in ("one", "two", "two"):
        slots.swap(A, name(weights))
    assert slots.previous_weights(A) == "one"


def test_lines_do_not_see_each_other() -> None:
    slots = Slots(Shelf(), Room(models_max=4))
    slots.swap(A, name("one"))
    slots.swap(B, name("two"))
    assert (serving(slots, A), serving(slots, B)) == ("one", "two")
    slots.withdraw(A)
    assert (serving(slots, A), serving(slots, B)) == (None, "two")


def test_memory_is_bounded_and_what_went_comes_back() -> None:
    shelf = Shelf()
    slots = Slots(shelf, Room(models_max=2))
    for place in (A, B, C):
        slots.swap(place, name(f"of-{place.line}"))
    assert slots.loaded() == ["of-b", "of-c"]
    assert serving(slots, A) == "of-a"
    assert slots.loaded() == ["of-c", "of-a"]
    assert shelf.loaded == ["of-a", "of-b", "of-c", "of-a"]


def test_while_the_new_loads_the_old_serves() -> None:
    entered, go = threading.Event(), threading.Event()

    def load(place: Place, weights: WeightsId) -> Predictor:
        if weights == "slow":
            entered.set()
            assert go.wait(5)
        return predictor_of(place, weights)

    slots = Slots(load, Room(models_max=4))
    slots.swap(A, name("one"))
    swapping = threading.Thread(target=slots.swap, args=(A, name("slow")))
    swapping.start()
    assert entered.wait(5)
    assert serving(slots) == "one"
    go.set()
    swapping.join(5)
    assert serving(slots) == "slow"


def test_many_threads_load_a_model_once() -> None:
    shelf, gate = Shelf(), threading.Barrier(8)

    def load(place: Place, weights: WeightsId) -> Predictor:
        return shelf(place, weights)

    slots = Slots(load, Room(models_max=4))
    found: list[Predictor] = []

    def ask() -> None:
        gate.wait(5)
        found.append(slots.predictor(A, name("one")))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert shelf.loaded == ["one"]
    assert len(found) == 8
    assert len({id(predictor) for predictor in found}) == 1


def test_no_room_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="models_max is 0"):
        Slots(Shelf(), Room(models_max=0))
