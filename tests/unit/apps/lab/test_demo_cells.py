"""Which cells the demo sends."""

from pathlib import Path

import pytest

from siad.apps.lab.demo.cells import draw_shift, find_cells


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [f"images/cell{n:04}.png  {(0.0, 1.0, 1 / 3)[n % 3]}  {'poly' if n > 30 else 'mono'}" for n in range(1, 41)]
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def test_only_mono_cells_are_streamed(folder: Path) -> None:
    assert len(find_cells(folder)) == 30


def test_normals_are_surely_good_and_never_streamed(folder: Path) -> None:
    shift = draw_shift(find_cells(folder), normals=5, stream=20, seed=0)
    assert {cell.probability for cell in shift.normals} == {0.0}
    assert not set(shift.normals) & set(shift.stream)


def test_the_same_seed_sends_the_same_cells(folder: Path) -> None:
    cells = find_cells(folder)
    shifts = [draw_shift(cells, normals=5, stream=20, seed=seed) for seed in (1, 1, 2)]
    assert shifts[0] == shifts[1]
    assert shifts[0] != shifts[2]


def test_more_cells_than_there_are_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="99 cells requested, but 25 are left"):
        draw_shift(find_cells(folder), normals=5, stream=99, seed=0)


def test_cells_of_the_test_are_certain_and_never_sent(folder: Path) -> None:
    shift = draw_shift(find_cells(folder), normals=3, stream=15, seed=0, test=4)
    assert sorted(cell.probability for cell in shift.test) == [0.0] * 4 + [1.0] * 4
    assert not set(shift.test) & {*shift.normals, *shift.stream}
    with pytest.raises(ValueError, match="20 cells requested, but 19 are left after 3 normals and 8 cells of the test"):
        draw_shift(find_cells(folder), normals=3, stream=20, seed=0, test=4)
