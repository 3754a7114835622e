"""Trials of planted candidates: what is worse is dropped, what is level or better is promoted."""

import math
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import pytest

from siad.contracts.trials import JudgedPair, TrialOutcome, TrialPairs
from siad.vision.sequential_test import log_wealth_above, log_wealth_below
from siad.vision.trial_judgement import DEFAULT_TRIAL_POLICY, TrialFigures, judge_trial

BUDGET, TRIALS, STEP = 0.05, 40, 100
POLICY = replace(DEFAULT_TRIAL_POLICY, captures_max=3000)


@dataclass(frozen=True, kw_only=True)
class Planted:
    """Shares of good parts that are rejected and of defects that are found, by both weights."""

    serving_rejects: float = 0.05
    candidate_rejects: float = 0.05
    serving_finds: float = 0.95
    candidate_finds: float = 0.95
    defects: float = 0.05
    answered: float = 0.0  # of the captures that one of the two rejects

    def outcome(self, seed: int) -> TrialOutcome | None:
        """Judge after every hundred captures, until the trial ends."""
        rng, pairs, truths = np.random.default_rng(seed), TrialPairs(), dict[str, bool]()
        for start in range(0, POLICY.captures_max, STEP):
            passed, rejected = list(pairs.passed), list(pairs.pairs)
            for number in range(start, start + STEP):
                name, is_defective = str(number), bool(rng.random() < self.defects)
                alike, chance = rng.random(), rng.random()
                own = alike if rng.random() < 0.6 else chance  # two models agree more often than by chance
                serving = alike < (self.serving_finds if is_defective else self.serving_rejects)
                candidate = own < (self.candidate_finds if is_defective else self.candidate_rejects)
                if not (serving or candidate):
                    passed.append(name)
                    continue
                is_clear = bool(rng.random() < (0.8 if is_defective else 0.1))
                rejected.append(
                    JudgedPair(capture_id=name, candidate_rejects=candidate, serving_rejects=serving, is_clear=is_clear)
                )
                if rng.random() < self.answered:
                    truths[name] = is_defective
            pairs = TrialPairs(passed=tuple(passed), pairs=tuple(rejected))
            figures = TrialFigures.of(pairs, truths)
            judgement = judge_trial(figures, budget=BUDGET, is_canary=False, days=0.0, policy=POLICY)
            if judgement.outcome is not None:
                return judgement.outcome
        return None

    def outcomes(self) -> Counter[TrialOutcome | None]:
        return Counter(self.outcome(seed) for seed in range(TRIALS))


# Of 40 trials, each with an error of at most 5%, more than 6 errors happen with a probability under 0.3%.
@pytest.mark.parametrize(
    "planted",
    [
        Planted(),
        Planted(serving_rejects=0.1, candidate_rejects=0.03),
        Planted(serving_finds=0.7),
        Planted(serving_rejects=0.1, candidate_rejects=0.02, answered=0.3),
    ],
    ids=["level", "fewer false rejects", "finds more", "fewer false rejects, answered"],
)
def test_a_level_or_better_candidate_is_rarely_dropped(planted: Planted) -> None:
    found = planted.outcomes()
    assert found[TrialOutcome.DROPPED] <= 6, found
    assert found[TrialOutcome.PROMOTED] >= 30, found


@pytest.mark.parametrize(
    "planted",
    [
        Planted(candidate_rejects=0.2),
        Planted(candidate_finds=0.0, candidate_rejects=0.0),
        Planted(candidate_finds=0.4),
        Planted(candidate_finds=0.5, answered=0.5),
    ],
    ids=["false rejects", "blind", "finds less than half", "finds half, answered"],
)
def test_a_worse_candidate_is_rarely_promoted(planted: Planted) -> None:
    found = planted.outcomes()
    assert found[TrialOutcome.PROMOTED] <= 6, found
    assert found[TrialOutcome.DROPPED] >= 30, found


def figures(**changes: int) -> TrialFigures:
    nothing = TrialFigures(captures=1000, extra=0, fewer=0, kept=20, lost=0, right=0, wrong=0, decided=0)
    return replace(nothing, **changes)


@pytest.mark.parametrize(
    ("changes", "outcome", "reason"),
    [
        ({}, TrialOutcome.PROMOTED, "nothing is worse"),
        ({"extra": 200}, TrialOutcome.DROPPED, "more captures than the budget of 0.05 allows"),
        ({"kept": 5, "lost": 15}, TrialOutcome.DROPPED, "passes more than 25%"),
        ({"wrong": 12}, TrialOutcome.DROPPED, "wrong about most captures that people answered"),
        ({"kept": 0}, None, "at most 50% of the clear finds"),
        ({"captures": 10}, None, "at most 10.0% more captures"),
        ({"wrong": 2, "right": 1}, None, "answers about captures"),
        ({"kept": 0, "captures": 5000}, TrialOutcome.UNDECIDED, "undecided after 5000 captures"),
    ],
)
def test_each_question_decides(changes: dict[str, int], outcome: TrialOutcome | None, reason: str) -> None:
    judgement = judge_trial(figures(**changes), budget=BUDGET, is_canary=False, days=1.0)
    assert judgement.outcome is outcome
    assert reason in judgement.reason


def test_a_canary_decides_enough_captures_before_all() -> None:
    waiting = judge_trial(figures(decided=49), budget=BUDGET, is_canary=True, days=1.0)
    assert waiting.outcome is None
    assert "49 of 50 captures decided" in waiting.reason
    assert judge_trial(figures(decided=50), budget=BUDGET, is_canary=True, days=1.0).outcome is TrialOutcome.PROMOTED


def test_time_ends_a_trial_too() -> None:
    judgement = judge_trial(figures(kept=0), budget=BUDGET, is_canary=False, days=7.0)
    assert judgement.outcome is TrialOutcome.UNDECIDED


def test_answers_say_what_was_right() -> None:
    def pair(name: str, *, candidate: bool, serving: bool, clear: bool = False) -> JudgedPair:
        return JudgedPair(capture_id=name, candidate_rejects=candidate, serving_rejects=serving, is_clear=clear)

    pairs = TrialPairs(
        passed=("p",),
        pairs=(
            pair("found", candidate=True, serving=False),
            pair("false reject", candidate=True, serving=False),
            pair("missed", candidate=False, serving=True),
            pair("spared", candidate=False, serving=True, clear=True),
            pair("both", candidate=True, serving=True, clear=True),
        ),
    )
    unanswered = TrialFigures.of(pairs, {})
    assert (unanswered.extra, unanswered.fewer, unanswered.lost, unanswered.kept) == (2, 2, 1, 1)
    answered = TrialFigures.of(pairs, {"found": True, "false reject": False, "missed": True, "spared": False})
    assert (answered.extra, answered.fewer) == (1, 1)
    assert (answered.lost, answered.kept) == (1, 1)  # the missed defect; what was spared is no find
    assert (answered.right, answered.wrong) == (2, 2)


def test_wealth_is_1_before_any_observation_and_grows_with_evidence() -> None:
    assert log_wealth_above({}, 0.5, lowest=0.0) == pytest.approx(0.0)
    growing = [log_wealth_above({1.0: number}, 0.5, lowest=0.0) for number in range(12)]
    assert growing == sorted(growing)
    assert growing[11] > math.log(60)
    assert log_wealth_below({0.0: 8}, 0.5, highest=1.0) > math.log(20)


def test_wealth_rarely_grows_while_the_hypothesis_is_true() -> None:
    rng, ruined = np.random.default_rng(1), 0
    for _ in range(200):
        ones = np.cumsum(rng.random(400) < 0.25)
        looks = [
            log_wealth_above({1.0: int(ones[n]), 0.0: int(n + 1 - ones[n])}, 0.25, lowest=0.0)
            for n in range(0, 400, 20)
        ]
        ruined += max(looks) >= math.log(20)
    assert ruined <= 20  # 5% of 200 are 10; more than 20 happen with a probability of 0.1%
