"""Which weights are to judge, and what to do to get there."""

from hypothesis import given
from hypothesis import strategies as st

from services.inference.domain.releases import LoadWeights, ReleasePointer, ReleaseTable, StopServing, plan
from siad.contracts.events import WeightsKind
from siad.contracts.ids import WeightsId
from siad.contracts.place import Place

PLACE = Place("line-1", "cell")


def release(kind: str, weights: str, revision: int = 1, *, withdrawn: bool = False) -> ReleasePointer:
    return ReleasePointer(
        place=PLACE, kind=WeightsKind(kind), revision=revision, weights=WeightsId(weights), withdrawn=withdrawn
    )


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
    assert plan(releases.candidates(PLACE), serving=S2, refused=set()) == LoadWeights(release("segmenter", "s1", 3))


def test_other_lines_and_products_are_left_alone() -> None:
    releases = ReleaseTable()
    releases.apply(T1)
    assert releases.candidates(Place("line-1", "module")) == []
    assert list(releases.places()) == [PLACE]


def test_nothing_changes_while_the_best_serves() -> None:
    assert plan([S1, T1], serving=S1, refused=set()) is None


def test_a_refit_teacher_never_displaces_a_segmenter() -> None:
    assert plan([S1, T2], serving=S1, refused=set()) is None


def test_the_best_is_loaded_where_nothing_serves() -> None:
    assert plan([S1, T1], serving=None, refused=set()) == LoadWeights(S1)


def test_a_refused_segmenter_leaves_the_one_before_it_serving() -> None:
    assert plan([S2, T1], serving=S1, refused={S2.weights}) is None


def test_a_refused_segmenter_does_not_hold_up_a_refit_of_the_serving_teacher() -> None:
    assert plan([S1, T2], serving=T1, refused={S1.weights}) == LoadWeights(T2)


def test_after_a_restart_a_refused_segmenter_leaves_the_teacher() -> None:
    assert plan([S1, T1], serving=None, refused={S1.weights}) == LoadWeights(T1)


def test_a_withdrawn_segmenter_goes_on_where_the_teacher_is_refused() -> None:
    assert plan([T1], serving=S1, refused={T1.weights}) is None


def test_nothing_judges_where_everything_was_withdrawn() -> None:
    assert plan([], serving=S1, refused=set()) == StopServing()


def test_nothing_is_done_where_nothing_was_ever_released() -> None:
    assert plan([], serving=None, refused=set()) is None
