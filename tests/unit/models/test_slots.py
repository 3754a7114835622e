"""Slots: load beside, swap one reference, never lose what serves."""

import threading

import pytest
import torch
from torch import Tensor

from siad.contracts.ids import WeightsId
from siad.models.predictor import Predictor
from siad.models.runner.torch import TorchRunner
from siad.models.slots import Slots
from tests.manifests import make_manifest


class Still:
    """A detector that sees nothing."""

    def score(self, images_BCHW: Tensor) -> Tensor:
        return torch.zeros(len(images_BCHW), 4, 4)


def examiner_of(line: str, product: str, weights: str) -> Predictor:
    return Predictor(make_manifest(line=line, product=product, code_version=weights), TorchRunner(Still()))


class Shelf:
    """A loader that counts, and refuses what is broken."""

    def __init__(self) -> None:
        self.loaded: list[str] = []

    def __call__(self, line: str, product: str, weights: WeightsId) -> Predictor:
        self.loaded.append(weights)
        if weights.startswith("broken"):
            raise ValueError(f"weights {weights} are broken")
        return examiner_of(line, product, weights)


def name(text: str) -> WeightsId:
    return WeightsId(text)


def serving(slots: Slots, line: str = "a") -> str | None:
    examiner = slots.current(line, "p")
    return None if examiner is None else examiner.manifest.code_version


def test_before_the_first_swap_nothing_serves() -> None:
    assert serving(Slots(Shelf(), models_max=4)) is None


def test_a_swap_serves_the_new_and_keeps_the_old_hot() -> None:
    shelf = Shelf()
    slots = Slots(shelf, models_max=4)
    slots.swap("a", "p", name("one"))
    slots.swap("a", "p", name("two"))
    assert serving(slots) == "two"
    assert slots.previous_weights("a", "p") == "one"
    slots.swap("a", "p", name("one"))
    assert serving(slots) == "one"
    assert shelf.loaded == ["one", "two"]  # the way back loaded nothing


def test_a_failed_load_leaves_the_old_serving() -> None:
    slots = Slots(Shelf(), models_max=4)
    slots.swap("a", "p", name("one"))
    with pytest.raises(ValueError, match="broken"):
        slots.swap("a", "p", name("broken"))
    assert serving(slots) == "one"
    assert slots.previous_weights("a", "p") is None


def test_a_failed_load_is_tried_again() -> None:
    shelf = Shelf()
    slots = Slots(shelf, models_max=4)
    for _ in range(2):
        with pytest.raises(ValueError, match="broken"):
            slots.swap("a", "p", name("broken"))
    assert shelf.loaded == ["broken", "broken"]


def test_the_same_weights_again_keep_the_way_back() -> None:
    slots = Slots(Shelf(), models_max=4)
    for weights in ("one", "two", "two"):
        slots.swap("a", "p", name(weights))
    assert slots.previous_weights("a", "p") == "one"


def test_lines_do_not_see_each_other() -> None:
    slots = Slots(Shelf(), models_max=4)
    slots.swap("a", "p", name("one"))
    slots.swap("b", "p", name("two"))
    assert (serving(slots, "a"), serving(slots, "b")) == ("one", "two")
    slots.withdraw("a", "p")
    assert (serving(slots, "a"), serving(slots, "b")) == (None, "two")


def test_memory_is_bounded_and_what_went_comes_back() -> None:
    shelf = Shelf()
    slots = Slots(shelf, models_max=2)
    for line in ("a", "b", "c"):
        slots.swap(line, "p", name(f"of-{line}"))
    assert slots.hot() == ["of-b", "of-c"]
    assert serving(slots, "a") == "of-a"
    assert slots.hot() == ["of-c", "of-a"]
    assert shelf.loaded == ["of-a", "of-b", "of-c", "of-a"]


def test_while_the_new_loads_the_old_serves() -> None:
    entered, go = threading.Event(), threading.Event()

    def load(line: str, product: str, weights: WeightsId) -> Predictor:
        if weights == "slow":
            entered.set()
            assert go.wait(5)
        return examiner_of(line, product, weights)

    slots = Slots(load, models_max=4)
    slots.swap("a", "p", name("one"))
    swapping = threading.Thread(target=slots.swap, args=("a", "p", name("slow")))
    swapping.start()
    assert entered.wait(5)
    assert serving(slots) == "one"
    go.set()
    swapping.join(5)
    assert serving(slots) == "slow"


def test_many_threads_load_a_model_once() -> None:
    shelf, gate = Shelf(), threading.Barrier(8)

    def load(line: str, product: str, weights: WeightsId) -> Predictor:
        return shelf(line, product, weights)

    slots = Slots(load, models_max=4)
    found: list[Predictor] = []

    def ask() -> None:
        gate.wait(5)
        found.append(slots.examiner("a", "p", name("one")))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert shelf.loaded == ["one"]
    assert len(found) == 8
    assert len({id(examiner) for examiner in found}) == 1


def test_no_room_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="models_max 0"):
        Slots(Shelf(), models_max=0)
