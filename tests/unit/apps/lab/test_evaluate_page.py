"""The page of `siad evaluate`: curves by class that can be told apart, and nothing fetched from anywhere."""

import base64
import re
from dataclasses import replace
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from siad.apps.lab.evaluate.curves import Curve, ScoreGroup, draw_curves, draw_histogram, draw_strips
from siad.apps.lab.evaluate.figures import OwnThreshold, figures_by_kind, figures_of
from siad.apps.lab.evaluate.page import PICTURE_PX, make_page
from siad.apps.lab.evaluate.plots import PlottedRun, plots_of
from siad.apps.lab.evaluate.scored import MappedImage
from siad.apps.lab.evaluate.style import ink_of, style_of
from siad.apps.lab.sheet_rows import SheetRow
from siad.vision.images import decode_image
from tests.unit.apps.lab.scored import scored_set

OWN = OwnThreshold(image_threshold=1.0, budget=0.05)
SIDE = 20


def answer(kind: str, score: float, *, masked: bool = True) -> MappedImage:
    mask_HW = np.zeros((SIDE, SIDE), np.uint8)
    map_HW = np.full((SIDE, SIDE), 0.1, np.float32)
    map_HW[4:8, 4:10] = score
    if kind != "good":
        mask_HW[4:8, 4:10] = 255
    return MappedImage(name=f"{kind}/{score}", kind=kind, map_HW=map_HW, mask_HW=mask_HW if masked else None)


def drawn(*answers: MappedImage) -> PlottedRun:
    scored = scored_set(answers)
    figures = figures_of(scored, OWN)
    by_kind = figures_by_kind(scored, OWN, overall=figures)
    return PlottedRun(images=scored.images, figures=figures, by_kind=by_kind, threshold=1.0)


SOME = (answer("good", 0.5), answer("good", 1.2), answer("crack", 2.0), answer("crack", 3.0), answer("stain", 0.3))


def plot(plots: list[str], title: str) -> str:
    [found] = [one for one in plots if f"<h3>{title} <small>" in one or f"<h3>{title}</h3>" in one]
    return found


def points(plot: str, ink: str) -> list[tuple[float, float]]:
    [told] = re.findall(rf'<polyline class="line {ink}(?: thick)?" points="([^"]+)"', plot)
    return [tuple(float(value) for value in one.split(",")) for one in told.split()]  # type: ignore[misc]


def page_of(seen: PlottedRun, rows: list[SheetRow] | None = None) -> str:
    report = seen.figures.to_json() | {
        "fit_s": 1.0,
        "images_per_s": 2.0,
        "memory_mb": 3.0,
        "weights_mb": 4.0,
        "seeds": 1,
    }
    classes = {kind: figures.to_json() for kind, figures in seen.by_kind.items()}
    report |= {"spread": {}, "classes": classes, "promise": "", "doubts": []}
    report |= {"decision": {"works": True, "text": "the decision works"}}
    return make_page("a set", {"10": report}, seen, rows or [], origin="today")


@pytest.mark.parametrize(
    ("title", "whole", "crack", "stain"),
    [
        ("Images: ROC", "0.667", "1.000", "0.000"),
        ("Images: precision and recall", "0.867", "1.000", "0.333"),
    ],
)
def test_each_class_has_a_line_and_its_figure_in_the_legend(title: str, whole: str, crack: str, stain: str) -> None:
    found = plot(plots_of(drawn(*SOME)), title)
    told = re.findall(r'<li class="(k\d)"><i class="k\d"></i>(\w+) <small>([\d.]+)', found)
    assert told == [("k0", "all", whole), ("k1", "crack", crack), ("k2", "stain", stain)]
    assert [len(points(found, ink)) > 1 for ink in ("k0", "k1", "k2")] == [True] * 3
    assert 'class="line k0 thick"' in found
    assert found.count(" thick") == 1


def test_a_class_stands_against_all_good_images_and_no_other_class() -> None:
    roc = plot(plots_of(drawn(*SOME)), "Images: ROC")
    left, top = min(x for x, _ in points(roc, "k0")), min(y for _, y in points(roc, "k0"))
    assert (left, top) in points(roc, "k1")  # every crack before the first good one
    assert (left, top) not in points(roc, "k0")
    right, bottom = max(x for x, _ in points(roc, "k2")), max(y for _, y in points(roc, "k2"))
    assert (right, bottom) in points(roc, "k2")  # every good one before the stain


def test_pixels_are_drawn_by_class_where_there_are_masks() -> None:
    plots = plots_of(drawn(*SOME, answer("dent", 2.0, masked=False)))
    for title in ("Pixels: precision and recall", "Pixels: per-region overlap"):
        found = plot(plots, title)
        assert {"k0", "k1", "k3"} == set(re.findall(r'"line (k\d)', found))  # dent is k2, and has no mask
        assert "dent" not in found
    assert "dent" in plot(plots, "Images: ROC")


def test_the_detector_s_own_threshold_is_marked_on_each_line() -> None:
    roc = plot(plots_of(drawn(*SOME)), "Images: ROC")
    dots = {ink: (float(x), float(y)) for ink, x, y in re.findall(r'"dot (k\d)" cx="([\d.]+)" cy="([\d.]+)"', roc)}
    assert len({x for x, _ in dots.values()}) == 1  # the good ones are the same
    across, down = zip(*points(roc, "k2"), strict=True)
    assert dots["k1"][0] == pytest.approx((min(across) + max(across)) / 2, abs=0.1)  # one of two is rejected
    assert dots["k0"][1] == pytest.approx(min(down) + (max(down) - min(down)) / 3, abs=0.1)  # two of three are found


def test_one_class_alone_is_not_drawn_twice() -> None:
    plots = plots_of(drawn(answer("good", 0.5), answer("crack", 2.0)))
    assert len(plots) == 5
    assert all("k1" not in one for one in plots)


def test_a_set_without_good_images_or_masks_has_fewer_plots() -> None:
    assert len(plots_of(drawn(answer("crack", 2.0, masked=False)))) == 1
    assert len(plots_of(drawn(answer("good", 0.1, masked=False), answer("crack", 2.0, masked=False)))) == 3


def test_scores_by_class_show_every_image() -> None:
    found = plot(plots_of(drawn(*SOME)), "Scores by class")
    assert [found.count(f'"speck {ink}"') for ink in ("good", "k1", "k2")] == [2, 2, 1]


@pytest.mark.parametrize("kinds", [1, 8, 20])
def test_no_two_classes_look_alike_by_day_or_by_night(kinds: int) -> None:
    day, night = style_of(kinds).split("@media(prefers-color-scheme:dark)")
    for text in (day, night):
        colours = dict(re.findall(r"\.(k\d+)\{--c:(#\w+)", text))
        assert [ink_of(index) for index in range(kinds)] == list(colours)
        assert len({colours[ink_of(index)] for index in range(kinds)}) == min(kinds, 8)
    dashed = set(re.findall(r"\.(k\d+)\{--c:#\w+;--s:dashed", day))
    assert dashed == {ink_of(index) for index in range(8, kinds)}


def test_the_page_needs_nothing_else_and_reads_in_the_dark() -> None:
    page = page_of(drawn(*SOME))
    assert not re.search(r"http|url\(|<script|<link|@import", page)
    assert "prefers-color-scheme:dark" in page
    assert page.count("<svg") == 6
    for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        ET.fromstring(svg)  # noqa: S314 - we wrote it


def test_the_table_shows_each_class_in_its_colour() -> None:
    page = page_of(drawn(*SOME))
    assert re.findall(r'<tr[^>]*><td><i class="(\w+)"></i>(\w+)</td>', page) == [
        ("k0", "all"),
        ("k1", "crack"),
        ("k2", "stain"),
    ]


def test_names_of_folders_are_no_markup() -> None:
    page = page_of(drawn(*SOME, answer("<b>&", 2.0)))
    assert "&lt;b&gt;&amp;" in page
    assert "<b>&" not in page


MISSED = SheetRow(
    name="crack/1.png",
    image_HWC=np.zeros((10, 40, 1), np.uint8),
    map_HW=np.eye(10, 40, dtype=np.float32),
    mask_HW=np.zeros((10, 40), np.uint8),
    truth_HW=None,
    is_defect=True,
    score=1.0,
    threshold=2.0,
)


def test_an_image_is_shown_as_it_is_shaped_in_three_pictures() -> None:
    page = page_of(drawn(*SOME), [MISSED])
    pictures = [base64.b64decode(data) for data in re.findall(r'data:image/jpeg;base64,([^"]+)', page)]
    assert [decode_image(data).shape[:2] for data in pictures] == [(PICTURE_PX // 4, PICTURE_PX)] * 3
    assert '<b class="wrong">MISSED</b> crack/1.png' in page


def test_the_tint_is_explained_where_something_is_ignored() -> None:
    unsure = replace(MISSED, ignored_HW=np.eye(10, 40) > 0)
    assert "ignored: its views differ" in page_of(drawn(*SOME), [MISSED, unsure])
    assert "ignored" not in page_of(drawn(*SOME), [MISSED])


def test_scores_that_are_all_alike_can_be_drawn() -> None:
    group = ScoreGroup(name="good", ink="good", scores=[2.0, 2.0])
    for svg in (draw_histogram("h", [group], threshold=2.0), draw_strips("s", [group], threshold=2.0)):
        assert "nan" not in svg


def test_what_lies_past_the_axis_is_cut() -> None:
    curve = Curve(name="all", ink="k0", points=[(0.0, 0.0), (0.3, 0.5), (0.9, 1.0)], mark=(0.9, 1.0))
    svg = draw_curves("t", ("x", "y"), [curve], ticks=(0.0, 0.3))
    assert len(points(svg, "k0")) == 2
    assert "<circle" not in svg
