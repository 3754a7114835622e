"""Figures of a view: each change of the camera moves its own statistic, and a baseline survives its document."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from siad.contracts.json_codec import read_json, write_json
from siad.contracts.view_baseline import ViewBaseline, ViewStatistic
from siad.vision.images import Image
from siad.vision.view_figures import make_baseline, measure_view

SIDE = 160


Grey = NDArray[np.uint8]


def scene(seed: int) -> Grey:
    """One part: a textured disc on a plate that has a bright edge, with noise."""
    rng = np.random.default_rng(seed)
    image = np.full((SIDE, SIDE), 70, np.float32)
    image[:, :20] = 140
    cv2.circle(image, (90, 80), 42, 170.0, -1)
    cv2.rectangle(image, (80, 60), (100, 75), 90.0, -1)
    noise = rng.normal(0, 8, image.shape).astype(np.float32) + np.float32(rng.normal(0, 1))
    return np.clip(image + noise, 0, 255).astype(np.uint8)[:, :, None]


def blurred(image: Grey) -> Grey:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 2), np.uint8)[:, :, None]


def moved(image: Grey) -> Grey:
    motion = np.array([[1, 0, 10], [0, 1, 0]], np.float32)
    shifted = cv2.warpAffine(image, motion, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(shifted, np.uint8)[:, :, None]


def speck(image: Grey) -> Grey:
    changed = image.copy()
    cv2.circle(changed, (40, 120), 8, 5.0, -1)
    return changed


CHANGES: dict[str, tuple[Callable[[Grey], Grey], ViewStatistic, float]] = {
    "blurred": (blurred, ViewStatistic.SHARPNESS, -4),
    "darker": (lambda image: (image * 0.7).astype(np.uint8), ViewStatistic.BRIGHTNESS, -4),
    "brighter": (lambda image: np.clip(image * 1.3, 0, 255).astype(np.uint8), ViewStatistic.BRIGHTNESS, 4),
    "moved": (moved, ViewStatistic.ACROSS, 4),
    "turned over": (lambda image: np.ascontiguousarray(image[::-1, ::-1]), ViewStatistic.LIKENESS, -4),
}


@pytest.fixture(scope="module")
def baseline() -> ViewBaseline:
    made = make_baseline([scene(seed) for seed in range(12)])
    assert made is not None
    return made


def test_images_like_the_normals_hardly_deviate(baseline: ViewBaseline) -> None:
    for seed in range(100, 130):
        figures = measure_view(scene(seed), baseline)
        assert max(abs(value) for value in figures.deviations.values()) < 3
        assert float(np.abs(figures.cells_hw).mean()) < 1


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_of_the_camera_moves_its_statistic(baseline: ViewBaseline, name: str) -> None:
    change, statistic, least = CHANGES[name]
    deviation = measure_view(change(scene(200)), baseline).deviations[statistic]
    assert deviation / least > 1


def test_dirt_moves_the_cells_where_it_is_and_no_others(baseline: ViewBaseline) -> None:
    cells_hw = np.abs(measure_view(speck(scene(200)), baseline).cells_hw)
    row, column = np.unravel_index(int(cells_hw.argmax()), cells_hw.shape)
    assert [int(row) // 2, int(column) // 2] == [120 * 12 // SIDE, 40 * 12 // SIDE]
    assert float(np.median(cells_hw)) < 1


@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_the_size_of_the_camera_hardly_matters(baseline: ViewBaseline, scale: float) -> None:
    resized = cv2.resize(scene(200), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    image = np.asarray(resized, np.uint8)[:, :, None]
    figures = measure_view(image, baseline).deviations
    assert all(abs(figures[name]) < 3 for name in ViewStatistic if name is not ViewStatistic.SHARPNESS)


def test_sixteen_bits_and_colour_are_measured_alike(baseline: ViewBaseline) -> None:
    deep = scene(200).astype(np.uint16) * 257
    coloured = np.repeat(scene(200), 3, axis=2)
    wanted = measure_view(scene(200), baseline).values
    images: tuple[Image, ...] = (deep, coloured)
    for image in images:
        values = measure_view(image, baseline).values
        assert all(values[name] == pytest.approx(wanted[name], abs=2e-2) for name in ViewStatistic)


@pytest.mark.parametrize("image", [np.zeros((1, 1, 1), np.uint8), np.full((3, 900, 3), 255, np.uint8)])
def test_any_image_has_finite_figures(baseline: ViewBaseline, image: Image) -> None:
    figures = measure_view(image, baseline)
    assert np.isfinite(list(figures.deviations.values())).all()
    assert np.isfinite(figures.cells_hw).all()


def test_three_normals_are_no_baseline() -> None:
    assert make_baseline([scene(seed) for seed in range(3)]) is None


def test_a_baseline_survives_its_document(baseline: ViewBaseline) -> None:
    assert read_json(ViewBaseline, write_json(baseline)) == baseline


@pytest.mark.parametrize("said", [{"view": "AAAA"}, {"cells": "no base64!"}])
def test_maps_of_another_size_are_refused(baseline: ViewBaseline, said: dict[str, Any]) -> None:
    fields = {name: getattr(baseline, name) for name in baseline.__dataclass_fields__}
    with pytest.raises(ValueError, match="baseline"):
        ViewBaseline(**{**fields, **said})
