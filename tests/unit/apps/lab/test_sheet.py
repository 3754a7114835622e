"""The contact sheet: what comes first, and that it shows what it is given."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from siad.apps.lab.sheet import CELL_PX, GAP_PX, ROWS_MAX, SheetRow, draw_sheet, encode_sheet, worst_first


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
