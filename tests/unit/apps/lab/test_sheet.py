"""The contact sheet: what comes first, and that it shows what it is given."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from siad.apps.lab.sheet import CELL_PX, GAP_PX, draw_cells, draw_sheet, encode_sheet
from siad.apps.lab.sheet_rows import ROWS_MAX, SheetRow, focus, worst_first


def row(name: str, *, score: float, is_defect: bool, size: tuple[int, int] = (40, 60)) -> SheetRow:
    mask_HW = np.zeros(size, np.uint8)
    mask_HW[5:15, 5:25] = 255
    return SheetRow(
        name=name,
        image_HWC=np.full((*size, 1), 90, np.uint8),
        map_HW=np.where(mask_HW > 0, score, 0).astype(np.float32),
        mask_HW=mask_HW if score >= 1 else np.zeros(size, np.uint8),
        truth_HW=mask_HW if is_defect else None,
        is_defect=is_defect,
        score=score,
        threshold=1.0,
    )


MISS, WORSE_MISS = row("miss", score=0.9, is_defect=True), row("worse miss", score=0.1, is_defect=True)
FALSE, WORSE_FALSE = row("false", score=1.0, is_defect=False), row("worse false", score=4.0, is_defect=False)
FOUND, PASSED = row("found", score=3.0, is_defect=True), row("passed", score=0.5, is_defect=False)


def test_a_score_at_the_threshold_is_a_defect() -> None:
    verdicts = [one.verdict for one in (MISS, FALSE, FOUND, PASSED)]
    assert verdicts == ["MISSED", "FALSE REJECT", "found", "passed"]


def test_the_clearest_errors_come_first_and_in_turn() -> None:
    names = [one.name for one in worst_first([PASSED, FOUND, FALSE, MISS, WORSE_FALSE, WORSE_MISS])]
    assert names[:4] == ["worse miss", "worse false", "miss", "false"]
    assert set(names[4:]) == {"found", "passed"}


def test_errors_leave_a_quarter_to_others_where_there_are_any() -> None:
    errors = [row(f"miss {n}", score=n / 100, is_defect=True) for n in range(60)]
    right = [row(f"found {n}", score=2.0, is_defect=True) for n in range(60)]
    chosen = worst_first([*right, *errors])
    assert len(chosen) == ROWS_MAX
    assert sum(one.verdict == "found" for one in chosen) == ROWS_MAX // 4
    assert all(one.verdict == "MISSED" for one in worst_first(errors))


def test_no_image_is_shown_twice_and_one_seed_chooses_the_same() -> None:
    rows = [row(f"found {n}", score=2.0, is_defect=True) for n in range(40)]
    names = [one.name for one in worst_first(rows, seed=3)]
    assert len(set(names)) == len(names) == ROWS_MAX
    assert names == [one.name for one in worst_first(rows, seed=3)]
    assert names != [one.name for one in worst_first(rows, seed=4)]


@pytest.mark.parametrize("size", [(40, 60), (600, 20), (20, 900), (1, 1)])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_any_size_fit_a_row(size: tuple[int, int], channels: int) -> None:
    image = np.full((*size, channels), 40000, np.uint16)
    mask_HW = np.full(size, 255, np.uint8)
    map_HW = np.zeros(size, np.float32)
    one = SheetRow(
        name="ä" * 90,
        image_HWC=image,
        map_HW=map_HW,
        mask_HW=mask_HW,
        truth_HW=mask_HW,
        is_defect=True,
        score=0.0,
        threshold=1.0,
    )
    sheet = draw_sheet([one, one], title="two of them")
    assert sheet.shape[0] == 110 + 2 * (CELL_PX + GAP_PX)
    assert sheet.shape[1] <= 1600


def test_the_defect_is_bright_in_the_map_and_outlined_in_the_third_cell() -> None:
    sheet = draw_sheet([FOUND])
    below_head = sheet[110 : 110 + CELL_PX]
    map_cell = below_head[:, 2 * GAP_PX + CELL_PX :][:, :CELL_PX]
    drawn_cell = below_head[:, 3 * GAP_PX + 2 * CELL_PX :][:, :CELL_PX]
    top = (CELL_PX - 200) // 2  # 40 x 60 becomes 200 x 300
    assert map_cell[top + 50, 75].sum() > 3 * map_cell[top + 150, 200].sum()
    is_red = (drawn_cell[..., 0] > 200) & (drawn_cell[..., 1] < 130)
    y, x = np.argwhere(is_red).mean(0)
    assert (y, x) == (pytest.approx(top + 50, abs=6), pytest.approx(75, abs=6))


def test_ignored_pixels_are_tinted_and_told_of_where_there_are_any() -> None:
    ignored_HW = np.zeros((40, 60), np.bool_)
    ignored_HW[25:35, 30:55] = True
    tinted, plain = draw_sheet([replace(PASSED, ignored_HW=ignored_HW)]), draw_sheet([PASSED])
    drawn_cell = slice(3 * GAP_PX + 2 * CELL_PX, 3 * (GAP_PX + CELL_PX))
    blue = tinted[110 : 110 + CELL_PX, drawn_cell]
    is_blue = blue[..., 2].astype(int) - blue[..., 0] > 80
    assert is_blue.mean() == pytest.approx(10 * 25 / 60**2, rel=0.1)  # 60 px are as wide as the cell
    y, x = np.argwhere(is_blue).mean(0)
    assert (y, x) == (pytest.approx(50 + 30 * 5, abs=6), pytest.approx(42.5 * 5, abs=6))
    assert not np.array_equal(tinted[:110], plain[:110])  # the legend
    nothing = draw_sheet([replace(PASSED, ignored_HW=np.zeros((40, 60), np.bool_))])
    assert np.array_equal(nothing, plain)


def test_comes_back_from_png_as_it_was() -> None:
    sheet = draw_sheet([MISS])
    back = cv2.imdecode(np.frombuffer(encode_sheet(sheet), np.uint8), cv2.IMREAD_COLOR_RGB)
    assert back is not None
    assert np.array_equal(back, sheet)


def test_a_sheet_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one image"):
        draw_sheet([])


def board(size: tuple[int, int], defect: tuple[int, int, int], *, is_found: bool = True) -> SheetRow:
    """A large image with a small square defect: top, left, side."""
    top, left, side = defect
    image = np.full((*size, 1), 90, np.uint8)
    truth_HW = np.zeros(size, np.uint8)
    truth_HW[top : top + side, left : left + side] = 255
    image[truth_HW > 0] = 250
    return SheetRow(
        name="board",
        image_HWC=image,
        map_HW=np.where(truth_HW > 0, 2.0 if is_found else 0.5, 0).astype(np.float32),
        mask_HW=truth_HW if is_found else np.zeros(size, np.uint8),
        truth_HW=truth_HW,
        is_defect=True,
        score=2.0 if is_found else 0.5,
        threshold=1.0,
    )


@pytest.mark.parametrize("is_found", [True, False])
@pytest.mark.parametrize("size", [(256, 4096), (3000, 4000)])
def test_a_small_finding_is_enlarged_and_the_whole_image_shown_beside(size: tuple[int, int], is_found: bool) -> None:
    shown = focus(board(size, (100, 3000, 20), is_found=is_found))
    assert shown.whole is not None
    assert shown.whole.is_cut
    assert shown.truth_HW is not None
    bright = shown.image_HWC[:, :, 0] > 200
    assert bright.sum() == 20 * 20  # whole, and at its own size
    assert np.array_equal(bright, shown.truth_HW > 0)
    assert max(shown.image_HWC.shape) <= 161
    assert shown.whole.defective_ratio == pytest.approx(400 / (size[0] * size[1]))  # of the whole image
    top, left, bottom, right = shown.whole.box
    assert top <= 100 / size[0] < bottom
    assert left <= 3000 / size[1] < right
    assert len(draw_cells(shown)) == 4


def test_marks_elsewhere_come_before_the_true_defect() -> None:
    wrong = board((2000, 2000), (1500, 1500, 20))
    wrong.mask_HW[:], wrong.map_HW[:] = 0, 0
    wrong.mask_HW[50:60, 50:60], wrong.map_HW[50:60, 50:60] = 255, 3.0
    shown = focus(wrong)
    assert shown.whole is not None
    assert shown.whole.box[:2] == (0.0, 0.0)
    assert shown.mask_HW.sum() == 255 * 100


@pytest.mark.parametrize(("size", "side"), [((300, 300), 5), ((3000, 4000), 600)])
def test_small_images_and_large_findings_are_shown_whole(size: tuple[int, int], side: int) -> None:
    shown = focus(board(size, (10, 10, side)))
    assert shown.whole is not None
    assert not shown.whole.is_cut
    assert len(draw_cells(shown)) == 3
    assert max(shown.image_HWC.shape) <= 1024


def test_a_map_that_is_smaller_than_its_image_is_cut_at_the_same_place() -> None:
    large = board((2000, 2000), (1000, 400, 40))
    small = replace(
        large,
        map_HW=np.ascontiguousarray(large.map_HW[::10, ::10]),
        mask_HW=np.ascontiguousarray(large.mask_HW[::10, ::10]),
        truth_HW=None,
    )
    shown = focus(small)
    y, x = np.argwhere(shown.image_HWC[:, :, 0] > 200).mean(0) / shown.image_HWC.shape[:2]
    y_map, x_map = (np.argwhere(shown.map_HW > 1).mean(0) + 0.5) / shown.map_HW.shape
    assert (y, x) == (pytest.approx(y_map, abs=0.02), pytest.approx(x_map, abs=0.02))
