"""Whether a detector decides well, and what keeps it from it."""

from siad.apps.lab.evaluate.decision import NOT_SEPARATED, TOO_HIGH, TOO_MANY_REJECTS, describe_decision
from siad.apps.lab.evaluate.scored import ScoredImage, ScoredSet

SET = ScoredSet(
    images=[
        *(ScoredImage(name=f"good/{index}", kind="good", score=1.0) for index in range(20)),
        *(ScoredImage(name=f"crack/{index}", kind="crack", score=2.0) for index in range(40)),
    ]
)


def described(*, rejects: float, misses: float, at_quantile: float | None) -> tuple[bool | None, str]:
    figures = {"false_rejects": rejects, "misses": misses, "misses_at_quantile": at_quantile}
    found = describe_decision(figures, SET, budget=0.05)
    return found["works"], found["text"]


def test_few_misses_and_rejects_within_the_budget_work() -> None:
    works, text = described(rejects=0.05, misses=0.1, at_quantile=0.05)
    assert works
    assert text.startswith("the decision works: 10.0% of 40 defective images are missed, 5.0% of 20 unseen good ones")


def test_one_image_more_than_half_over_the_budget_is_chance() -> None:
    assert described(rejects=0.1, misses=0.0, at_quantile=0.0)[0]
    works, text = described(rejects=0.15, misses=0.0, at_quantile=0.0)
    assert (works, TOO_MANY_REJECTS in text) == (False, True)


def test_a_threshold_that_misses_what_the_scores_tell_is_named() -> None:
    works, text = described(rejects=0.0, misses=0.46, at_quantile=0.09)
    assert (works, TOO_HIGH in text, NOT_SEPARATED in text) == (False, True, False)


def test_scores_that_do_not_separate_are_named() -> None:
    works, text = described(rejects=0.05, misses=0.53, at_quantile=0.5)
    assert (works, TOO_HIGH in text, NOT_SEPARATED in text) == (False, False, True)


def test_a_set_without_good_images_can_not_tell() -> None:
    assert described(rejects=0.0, misses=0.1, at_quantile=None)[0] is None
