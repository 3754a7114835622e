"""Names of methods: known ones pass, others are refused with the names to choose from."""

import pytest

from siad.contracts.methods import ASKABLE, AUTO, REMOVED, TEACHERS, require_askable, require_teacher


@pytest.mark.parametrize("method", ASKABLE)
def test_a_line_may_ask_for_any_method_and_for_the_choice_among_them(method: str) -> None:
    assert require_askable(method) == method


def test_a_teacher_is_never_of_the_method_auto() -> None:
    assert AUTO not in TEACHERS
    with pytest.raises(ValueError, match="no method 'auto'; choose feature-memory"):
        require_teacher(AUTO)


@pytest.mark.parametrize("method", REMOVED)
def test_a_removed_method_is_refused_as_removed(method: str) -> None:
    with pytest.raises(ValueError, match=f"'{method}' was removed.*choose feature-memory"):
        require_askable(method)
