"""Which weights judge, and the next step to get there."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.inference.domain.releases import (
    LoadWeights,
    PlaceState,
    ReleasePointer,
    ReleaseTable,
    StopServing,
    plan,
)
from siad.contracts.events import WeightsKind
from siad.contracts.ids import WeightsId
from siad.contracts.place import Place

PLACE = Place("line-1", "cell")


def release(kind: str, weights: str, revision: int = 1, *, withdrawn: bool = False) -> ReleasePointer:
    return ReleasePointer(
        place=PLACE, kind=WeightsKind(kind), revision=revision, weights=WeightsId(weights), withdrawn=withdrawn
    )


def step(*candidates: ReleasePointer, **state: Any) -> LoadWeights | StopServing | None:
    is_loaded = state.pop("is_loaded", state.get("serving") is not None)
    return plan(PlaceState(candidates=candidates, is_loaded=is_loaded, **state))


T1, T2 = release("teacher", "t1"), release("teacher", "t2", 2)
S1, S2 = release("segmenter", "s1"), release("segmenter", "s2", 2)


def test_a_segmenter_judges_before_the_teacher() -> None:
    releases = ReleaseTable()
    releases.apply(T1)
    releases.apply(S1)
    assert releases.candidates(PLACE) == [S1, T1]


def test_a_withdrawn_segmenter_leaves_the_teacher() -> None:
    releases = ReleaseTable()
    for one in (T1, S1, release("segmenter", "s1", 2, withdrawn=True)):
        releases.apply(one)
    assert releases.candidates(PLACE) == [T1]


@given(st.permutations([release("teacher", f"t{n}", n) for n in range(1, 6)] * 2))
def test_news_in_any_order_and_repeated_end_at_the_highest_revision(news: list[ReleasePointer]) -> None:
    releases = ReleaseTable()
    told = [releases.apply(one) for one in news]
    assert releases.candidates(PLACE) == [release("teacher", "t5", 5)]
    assert told[0]
    assert sum(told) == len({max(one.revision for one in news[: n + 1]) for n in range(len(news))})


def test_rolling_back_is_a_new_revision_of_old_weights() -> None:
    releases = ReleaseTable()
    for one in (S1, S2, release("segmenter", "s1", 3)):
        releases.apply(one)
    newest = release("segmenter", "s1", 3)
    assert step(*releases.candidates(PLACE), serving=S2) == LoadWeights(newest)


def test_other_lines_and_products_are_left_alone() -> None:
    releases = ReleaseTable()
    releases.apply(T1)
    assert releases.candidates(Place("line-1", "module")) == []
    assert list(releases.places()) == [PLACE]


def test_nothing_changes_while_the_best_serves() -> None:
    assert step(S1, T1, serving=S1) is None


def test_a_refit_teacher_never_displaces_a_segmenter() -> None:
    assert step(S1, T2, serving=S1) is None


def test_the_best_is_loaded_where_nothing_serves() -> None:
    assert step(S1, T1) == LoadWeights(S1)


def test_a_segmenter_that_fails_to_load_leaves_the_one_before_it_serving() -> None:
    assert step(S2, T1, serving=S1, failed={S2}) is None


def test_a_newer_revision_of_failed_weights_is_loaded() -> None:
    again = release("segmenter", "s2", 3)
    assert step(again, T1, serving=S1, failed={S2}) == LoadWeights(again)


def test_a_failed_segmenter_does_not_hold_up_a_refit_of_the_serving_teacher() -> None:
    assert step(S1, T2, serving=T1, failed={S1}) == LoadWeights(T2)


def test_after_a_restart_a_failed_segmenter_leaves_the_teacher() -> None:
    assert step(S1, T1, failed={S1}) == LoadWeights(T1)


def test_a_withdrawn_segmenter_goes_on_where_the_teacher_fails() -> None:
    assert step(T1, serving=S1, failed={T1}) is None
    assert step(T1, serving=S1, is_loaded=False, failed={T1}) == LoadWeights(S1)


def test_weights_that_made_room_are_loaded_back() -> None:
    assert step(S1, T1, serving=S1, is_loaded=False) == LoadWeights(S1)


def test_weights_that_cannot_be_loaded_back_give_way_to_those_before_them_then_to_the_teacher() -> None:
    assert step(S2, T1, serving=S2, is_loaded=False, previous=S1, failed={S2}) == LoadWeights(S1)
    assert step(S2, T1, serving=S2, is_loaded=False, previous=S1, failed={S2, S1}) == LoadWeights(T1)


def test_a_line_whose_releases_all_failed_stays_in_service_until_a_retry() -> None:
    assert step(S2, T1, serving=S2, is_loaded=False, previous=S1, failed={S2, S1, T1}) is None
    assert step(S2, T1, serving=S2, is_loaded=False, previous=S1, failed={S1, T1}) == LoadWeights(S2)


def test_nothing_judges_where_everything_was_withdrawn() -> None:
    assert step(serving=S1) == StopServing()
    assert step(serving=S1, is_loaded=False, failed={S1}) == StopServing()


def test_nothing_is_done_where_nothing_was_ever_released() -> None:
    assert step() is None


@given(st.data())
def test_every_plan_ends(data: st.DataObject) -> None:
    """Whatever fails, each step loads a release or marks it as failed, so the plan comes to an end."""
    releases = [S2, S1, T2, T1]
    candidates = data.draw(st.sampled_from([[S2, T2], [T2], [S2], []]))
    serving = data.draw(st.sampled_from([None, *releases]))
    is_loaded, failed = data.draw(st.booleans()), data.draw(st.sets(st.sampled_from(releases)))
    broken = data.draw(st.sets(st.sampled_from(releases)))
    for _ in range(len(releases) + 2):
        action = step(*candidates, serving=serving, is_loaded=is_loaded, previous=S1, failed=failed)
        if action is None:
            break
        if isinstance(action, StopServing):
            serving = None
        elif action.release in broken:
            failed = failed | {action.release}
        else:
            serving, is_loaded = action.release, True
    assert action is None
    assert serving is not None or not candidates or failed >= set(candidates)
