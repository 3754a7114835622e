"""What every fit begins and ends with, on a detector that looks at brightness."""

import importlib

import numpy as np
import pytest
import torch
from torch import Tensor

from siad.contracts.methods import TEACHERS
from siad.models.bundle import GOLDEN
from siad.models.method_modules import METHODS
from siad.models.teachers.fitting import FittedDetector, Normals, finish, gather
from siad.models.teachers.methods import fit_teacher
from siad.models.tensors import unpack
from siad.vision.images import Image


class Brightness:
    def score(self, images_BCHW: Tensor) -> Tensor:
        return images_BCHW.mean(1)[:, ::8, ::8]


def image(seed: int) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (64, 64, 1), dtype=np.uint8)


def gathered(order: list[int], *, budget: float = 0.3) -> Normals:
    names = [f"{index:032x}" for index in order]
    return gather(
        [image(index) for index in order], line="a", product="b", normals=names, false_reject_budget=budget, at_least=3
    )


def fitted(held_out: tuple[float, ...] = (1.0, 2.0, 3.0)) -> FittedDetector:
    return FittedDetector(
        method="bright", detector=Brightness(), parts={"x": b"1"}, input_px=64, held_out=held_out, metrics=(("z", 1.0),)
    )


def test_normals_come_in_the_order_of_their_ids() -> None:
    found, again = gathered([2, 0, 1]), gathered([1, 2, 0])
    assert found.names == again.names == tuple(f"{index:032x}" for index in range(3))
    assert all(np.array_equal(found.images[index], image(index)) for index in range(3))


@pytest.mark.parametrize("order", [[0, 1], [0]])
def test_too_few_normals_are_refused_with_both_counts(order: list[int]) -> None:
    with pytest.raises(ValueError, match=f"{len(order)} images and {len(order)} capture ids.*at least 3"):
        gathered(order)


def test_the_bundle_says_by_what_it_decides() -> None:
    manifest = finish(gathered([0, 1, 2]), fitted()).manifest
    assert manifest.held_out_scores == (1.0, 2.0, 3.0)
    assert manifest.promised_false_reject == 0.3  # 3 of 3 held out allow 1/4
    assert manifest.image_threshold == np.nextafter(np.float32(3.0), np.float32(np.inf))
    assert manifest.metrics == (("normals", 3.0), ("z", 1.0))
    assert [part.name for part in manifest.parts] == [GOLDEN, "x"]


def test_a_budget_that_few_normals_do_not_allow_is_not_promised() -> None:
    assert finish(gathered([0, 1, 2], budget=0.05), fitted()).manifest.promised_false_reject is None


def test_golden_outputs_are_the_detectors_own() -> None:
    golden = unpack(finish(gathered([0, 1, 2]), fitted()).parts[GOLDEN])
    expected = ((golden["crops"].float().permute(0, 3, 1, 2) - 127) / 128).mean(1)[:, ::8, ::8]
    assert torch.allclose(golden["maps"], expected, atol=1e-5)


def test_every_teacher_has_a_module_that_fits_and_loads() -> None:
    assert set(TEACHERS) == set(METHODS) - {"unet"}
    for name in TEACHERS:
        module = importlib.import_module(METHODS[name])
        assert callable(module.fit)
        assert callable(module.load)


def test_an_unknown_method_is_named_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="no method 'unet'; choose feature-memory, student-teacher"):
        fit_teacher([], line="a", product="b", normals=[], false_reject_budget=0.1, method="unet")


def test_a_line_that_still_names_a_removed_method_learns_what_to_choose() -> None:
    with pytest.raises(ValueError, match=r"'draem' was removed.*choose feature-memory, .*auto"):
        fit_teacher([], line="a", product="b", normals=[], false_reject_budget=0.1, method="draem")
