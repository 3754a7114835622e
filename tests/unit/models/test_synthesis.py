"""Painted normals: something is there, it is where the mask says, and chance alone decides."""

import numpy as np

from siad.models.teachers.synthesis import Pixels, paint


def striped(seed: int) -> Pixels:
    """float32 [3, 64, 80], -1 to 1."""
    rng = np.random.default_rng(seed)
    stripes = 0.5 * np.sin(np.arange(80) / 3)[None, None, :]
    return np.asarray(stripes + rng.normal(0, 0.05, (3, 64, 80)), np.float32)


def test_what_is_painted_is_where_the_mask_says() -> None:
    image = striped(0)
    for seed in range(40):
        painted, seen = paint(image, striped(1), np.random.default_rng(seed))
        assert painted.dtype == np.float32
        assert np.array_equal(np.abs(painted - image).max(0) > 0.06, seen)


def test_most_paintings_can_be_seen_and_leave_most_of_the_part() -> None:
    ratios = [paint(striped(0), striped(1), np.random.default_rng(seed))[1].mean() for seed in range(60)]
    assert np.mean(np.array(ratios) > 0.002) > 0.8
    assert np.median(ratios) < 0.2
    assert max(ratios) < 0.8


def test_the_same_chance_paints_the_same() -> None:
    one, two = (paint(striped(0), striped(1), np.random.default_rng(3))[0] for _ in range(2))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, paint(striped(0), striped(1), np.random.default_rng(4))[0])


def test_the_normal_itself_is_left_alone() -> None:
    image, source = striped(0), striped(1)
    paint(image, source, np.random.default_rng(0))
    assert np.array_equal(image, striped(0))
    assert np.array_equal(source, striped(1))
