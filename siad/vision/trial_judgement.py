"""Whether the candidate of a trial is promoted or dropped. Pure.

Both weights judge the same captures of the stream. Few of them have labels, so each question is asked of the captures
that can answer it:

- **extra rejects**: what only the candidate rejects, less what only the serving weights reject, as a share of all
  captures; a capture that a person called defective counts as neither. It is dropped where the share is above the
  line's false-reject budget, and promoted only where it is below twice that.
- **clear finds**: captures that the serving weights reject clearly (one spread of their normals' scores over the
  threshold), or that a person called defective, and that no person called good. It is dropped where it passes more
  than a quarter of them, and promoted only where it passes less than half.
- **labels**: captures that the two decide differently and a person answered. It is dropped where it is wrong about
  more than half of them, and not promoted while it is wrong about more than it is right.

Each is tested by betting (``siad.vision.sequential_test``), so looking after every capture costs nothing. A candidate
between the two limits of a question may end either way, or undecided.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from siad.contracts.trials import JudgedPair, TrialOutcome, TrialPairs
from siad.vision.sequential_test import log_wealth_above, log_wealth_below


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialPolicy:
    """Limits of a trial, and its errors; docs/adr/0060-shadow-and-canary.md has the reasons."""

    false_drop: float = 0.05  # probability that a candidate within the limits of acceptance is dropped, in one phase
    false_promotion: float = 0.05  # probability that one beyond a limit of refusal is promoted
    extra_rejects_ok: float = 1.0  # in budgets
    extra_rejects_bad: float = 2.0
    lost_ok: float = 0.25  # share of the clear finds
    lost_bad: float = 0.5
    wrong_ok: float = 0.5  # share of the labelled captures that the two decide differently
    decided_min: int = 50  # captures that the candidate decides in a canary before it is promoted
    captures_max: int = 5000  # of one phase
    days_max: float = 7.0  # of one phase


DEFAULT_TRIAL_POLICY: Final = TrialPolicy()
_TESTS: Final = 3  # that may drop; they share ``false_drop``
_EXTRA_BAD_MAX: Final = 0.9  # an extra share of 1 can't be exceeded, whatever the budget


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialFigures:
    """Counts of one phase that decide, for people and metrics."""

    captures: int
    extra: int  # rejected by the candidate alone, and not called defective
    fewer: int  # rejected by the serving weights alone, and not called defective
    kept: int  # clear finds that the candidate rejects too
    lost: int  # clear finds that it passes
    right: int  # labelled captures that only the candidate decides right
    wrong: int  # labelled captures that only the serving weights decide right
    decided: int  # captures of which the verdict was the candidate's

    @classmethod
    def of(cls, pairs: TrialPairs, truths: Mapping[str, bool]) -> "TrialFigures":
        """Count the pairs of one phase.

        Args:
            pairs: what both weights decided.
            truths: whether a capture is defective, of those that a person answered.
        """
        counts = Counter(name for pair in pairs.pairs for name in _roles(pair, truths))
        names = ("extra", "fewer", "kept", "lost", "right", "wrong")
        return cls(captures=pairs.captures, decided=pairs.decided, **{name: counts[name] for name in names})

    @property
    def text(self) -> str:
        """The counts in one sentence."""
        return (
            f"of {self.captures} captures the candidate alone rejects {self.extra} and the serving weights alone "
            f"{self.fewer}; of {self.kept + self.lost} clear finds it passes {self.lost}; of "
            f"{self.right + self.wrong} answered captures that they decide differently it is right about {self.right}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialJudgement:
    """Outcome of the tests; None: more captures are needed."""

    outcome: TrialOutcome | None
    reason: str


def judge_trial(
    figures: TrialFigures, *, budget: float, is_canary: bool, days: float, policy: TrialPolicy = DEFAULT_TRIAL_POLICY
) -> TrialJudgement:
    """Decide by the captures of one phase.

    Args:
        figures: of the phase.
        budget: false-reject budget of the line.
        is_canary: whether the candidate decides a share of the captures.
        days: since the phase began.
        policy: limits.
    """
    if objection := _objection(figures, budget, policy):
        return TrialJudgement(outcome=TrialOutcome.DROPPED, reason=f"{objection}: {figures.text}")
    waits = _waits_for(figures, budget, policy)
    if is_canary and figures.decided < policy.decided_min:
        waits.append(f"{figures.decided} of {policy.decided_min} captures decided by the candidate")
    if not waits:
        return TrialJudgement(outcome=TrialOutcome.PROMOTED, reason=f"nothing is worse: {figures.text}")
    reason = f"it waits for {'; '.join(waits)}: {figures.text}"
    if figures.captures >= policy.captures_max or days >= policy.days_max:
        return TrialJudgement(
            outcome=TrialOutcome.UNDECIDED,
            reason=f"undecided after {figures.captures} captures and {days:.1f} days, so what serves stays; {reason}",
        )
    return TrialJudgement(outcome=None, reason=reason)


def _objection(figures: TrialFigures, budget: float, policy: TrialPolicy) -> str:
    """Say which test drops the candidate; empty for none."""
    proof = math.log(_TESTS / policy.false_drop)
    extra_ok = min(policy.extra_rejects_ok * budget, 0.5)
    if log_wealth_above(_extra(figures), extra_ok, lowest=-1.0) >= proof:
        return f"it rejects more captures than the budget of {budget:g} allows"
    if log_wealth_above({0.0: figures.kept, 1.0: figures.lost}, policy.lost_ok, lowest=0.0) >= proof:
        return f"it passes more than {policy.lost_ok:.0%} of what the serving weights find clearly"
    if log_wealth_above({0.0: figures.right, 1.0: figures.wrong}, policy.wrong_ok, lowest=0.0) >= proof:
        return "it is wrong about most captures that people answered"
    return ""


def _waits_for(figures: TrialFigures, budget: float, policy: TrialPolicy) -> list[str]:
    """List what is not shown yet."""
    proof, waits = math.log(1 / policy.false_promotion), []
    extra_bad = min(policy.extra_rejects_bad * budget, _EXTRA_BAD_MAX)
    if log_wealth_below(_extra(figures), extra_bad, highest=1.0) < proof:
        waits.append(f"proof that it rejects at most {extra_bad:.1%} more captures")
    if log_wealth_below({0.0: figures.kept, 1.0: figures.lost}, policy.lost_bad, highest=1.0) < proof:
        waits.append(f"proof that it passes at most {policy.lost_bad:.0%} of the clear finds")
    if figures.wrong > figures.right:
        waits.append("answers about captures that the two decide differently")
    return waits


def _extra(figures: TrialFigures) -> dict[float, int]:
    level = figures.captures - figures.extra - figures.fewer
    return {1.0: figures.extra, 0.0: level, -1.0: figures.fewer}


def _roles(pair: JudgedPair, truths: Mapping[str, bool]) -> list[str]:
    """Name the counts that a capture belongs to."""
    is_defective = truths.get(pair.capture_id)
    roles, is_find = [], pair.serving_rejects and (pair.is_clear or is_defective is True) and is_defective is not False
    if is_find:
        roles.append("kept" if pair.candidate_rejects else "lost")
    if pair.candidate_rejects == pair.serving_rejects:
        return roles
    if is_defective is not True:
        roles.append("extra" if pair.candidate_rejects else "fewer")
    if is_defective is not None:
        roles.append("right" if pair.candidate_rejects == is_defective else "wrong")
    return roles
