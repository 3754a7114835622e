"""The draw of captures that are labelled while a segmenter serves."""

import pytest

from siad.contracts.labelling import is_drawn, require_labelled_share, share_of

IDS = [f"{number:032x}" for number in range(20_000)]


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5])
def test_the_share_is_drawn(share: float) -> None:
    drawn = sum(is_drawn(one, share) for one in IDS)
    deviation = (len(IDS) * share * (1 - share)) ** 0.5
    assert abs(drawn - len(IDS) * share) < 4 * deviation


def test_all_are_drawn_of_one_and_a_larger_share_has_all_of_a_smaller() -> None:
    assert all(is_drawn(one, 1.0) for one in IDS)
    assert all(is_drawn(one, 0.2) for one in IDS if is_drawn(one, 0.1))


@pytest.mark.parametrize("setting", [-0.1, 0.0009, 1.01, float("nan")])
def test_other_settings_are_refused(setting: float) -> None:
    with pytest.raises(ValueError, match="labelled_share"):
        require_labelled_share(setting)


def test_nothing_set_is_a_tenth() -> None:
    require_labelled_share(0.0)
    assert (share_of(0.0), share_of(0.3)) == (0.1, 0.3)
