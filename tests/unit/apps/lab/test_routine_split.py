"""The draw of the routine: nothing in two roles, as mixed as the folder, the same by seed."""

import pytest

from siad.apps.lab.routine.split import ImagePool, StreamRoles, TooFewError, draw_few, draw_stream, draw_whole


def pool(normals: int = 30, goods: int = 20, defects: int = 60) -> ImagePool[str]:
    return ImagePool(
        normals=[f"n{index}" for index in range(normals)],
        goods=[f"g{index}" for index in range(goods)],
        defects=[f"d{index}" for index in range(defects)],
    )


@pytest.mark.parametrize("seed", range(5))
def test_no_image_has_two_roles(seed: int) -> None:
    for shift in (
        draw_few(pool(), shots=10, online=12, defects=12, seed=seed),
        draw_whole(pool(), normals_max=100, seed=seed),
        draw_stream(pool(), StreamRoles(shots=10, goods=24, defects=6, test=14), seed=seed),
    ):
        shown = [*shift.normals, *shift.online, *shift.test]
        assert len(shown) == len(set(shown))


def test_few_are_as_many_as_were_asked_for() -> None:
    shift = draw_few(pool(), shots=10, online=12, defects=12, seed=0)
    assert (len(shift.normals), len(shift.online)) == (10, 12)
    assert all(name.startswith("n") for name in shift.normals)
    assert sum(name.startswith("d") for name in shift.test) == 12


def test_what_comes_online_is_as_mixed_as_the_folder() -> None:
    shift = draw_few(pool(goods=20, defects=60), shots=10, online=12, defects=12, seed=0)
    assert sum(name.startswith("d") for name in shift.online) == 9  # 60 of 80, of 12
    assert sum(name.startswith("g") for name in shift.test) == 17  # every good one that was not shown


@pytest.mark.parametrize(("goods", "defects", "bad"), [(1000, 30, 2), (3, 600, 11), (2, 600, 11)])
def test_either_kind_is_shown_and_a_good_one_kept(goods: int, defects: int, bad: int) -> None:
    shift = draw_few(pool(goods=goods, defects=defects), shots=2, online=12, defects=2, seed=0)
    assert sum(name.startswith("d") for name in shift.online) == bad
    assert any(name.startswith("g") for name in shift.test)


def test_the_whole_is_everything_in_halves() -> None:
    shift = draw_whole(pool(normals=30, goods=20, defects=61), normals_max=100, seed=0)
    assert len(shift.normals) == 30
    assert len(shift.online) == 10 + 30
    assert len(shift.test) == 10 + 31


def test_the_same_seed_draws_the_same_and_another_something_else() -> None:
    one, again, other = (draw_few(pool(), shots=10, online=12, defects=12, seed=seed) for seed in (3, 3, 4))
    assert one == again
    assert one != other


@pytest.mark.parametrize(
    ("has", "what"),
    [
        ({"normals": 9}, "9 normals in train/good, 10 needed"),
        ({"defects": 17}, "17 defective images under test, 18 needed"),
        ({"goods": 1}, "1 good images in test/good, 2 needed"),
    ],
)
def test_too_small_a_folder_is_refused_with_what_it_lacks(has: dict[str, int], what: str) -> None:
    with pytest.raises(TooFewError, match=what):
        draw_few(pool(**has), shots=10, online=12, defects=12, seed=0)


def test_nothing_to_halve_is_refused() -> None:
    with pytest.raises(TooFewError, match="3 defective images under test, 4 needed"):
        draw_whole(pool(defects=3), normals_max=100, seed=0)


def test_no_more_normals_are_drawn_than_a_teacher_takes() -> None:
    shift = draw_whole(pool(normals=300), normals_max=100, seed=0)
    assert len(set(shift.normals)) == 100


def test_a_stream_has_as_few_defects_as_asked_for_and_good_images_of_both_folders() -> None:
    shift = draw_stream(pool(), StreamRoles(shots=10, goods=24, defects=6, test=14), seed=0)
    assert sum(name.startswith("d") for name in shift.online) == 6
    assert len(shift.online) == 30
    assert sum(name.startswith("n") for name in shift.online) == 18  # 20 good ones under test, 14 of them tested
    assert len(shift.test) == 28
    assert sum(name.startswith("d") for name in shift.test) == 14


def test_a_stream_that_takes_most_good_images_leaves_the_others_to_the_test() -> None:
    shift = draw_stream(pool(), StreamRoles(shots=10, goods=37, defects=6, test=14), seed=0)
    assert sum(not name.startswith("d") for name in shift.test) == 3
    with pytest.raises(TooFewError, match="40 good images besides the normals, 41 needed"):
        draw_stream(pool(), StreamRoles(shots=10, goods=39, defects=6, test=14), seed=0)
