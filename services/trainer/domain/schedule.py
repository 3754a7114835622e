"""When a line and product are to be trained again. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from services.trainer.domain.records import CandidateJudgement, RunOutcome, RunReport, RunSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulePolicy:
    """How much must be new, and how long a line rests."""

    captures_min: int = 120  # labelled since the last training set
    normals_min: int = 10
    cooldown_s: float = 600.0  # since the last run was judged
    attempts_max: int = 4  # starts of one job; each resumes from its last checkpoint
    retry_s: tuple[float, ...] = (0.0, 5.0, 30.0, 120.0)  # from one start to the next; the last repeats


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """One run as the store tells it."""

    spec: RunSpec
    report: RunReport | None
    judgement: CandidateJudgement | None
    attempts: int
    last_attempt_at: datetime | None

    @property
    def is_open(self) -> bool:
        """Whether it still waits for its end."""
        return self.judgement is None

    @property
    def candidate(self) -> str:
        """Weights that may serve; empty where there are none."""
        accepted = self.judgement is not None and self.judgement.outcome is RunOutcome.ACCEPTED
        return self.judgement.weights if accepted and self.judgement is not None else ""


def is_due(*, fresh: int, normals: int, last: RunState | None, now: datetime, policy: SchedulePolicy) -> bool:
    """Whether enough is new, and the line has rested since the last run.

    Args:
        fresh: captures labelled since the last run's training set was frozen.
        normals: captures known to be good.
        last: the last run; None before the first.
        now: the time of day.
        policy: how much is enough.
    """
    if normals < policy.normals_min or fresh < policy.captures_min:
        return False
    if last is None:
        return True
    if last.judgement is None:
        return False  # one run a line
    return now - last.judgement.judged_at >= timedelta(seconds=policy.cooldown_s)


def may_start(run: RunState, *, now: datetime, policy: SchedulePolicy) -> bool:
    """Whether the run's job may be started (again): not at once after it fell."""
    if run.last_attempt_at is None:
        return True
    rest_s = policy.retry_s[min(run.attempts, len(policy.retry_s) - 1)]
    return now - run.last_attempt_at >= timedelta(seconds=rest_s)
