"""Schedule of training: when runs are due and jobs may start. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from siad.contracts.training_runs import RunState


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulePolicy:
    """Captures that a run takes, and delays between runs and between jobs."""

    captures_min: int = 120  # labelled since the training set of the last trained run
    corrections_min: int = 10  # or corrected since then
    normals_min: int = 10
    cooldown_s: float = 600.0  # since the last run was judged
    attempts_max: int = 4  # starts of one job; each resumes from the last checkpoint
    retry_s: tuple[float, ...] = (0.0, 5.0, 30.0, 120.0)  # from one start to the next; the last one repeats


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCaptures:
    """What came since the last trained run was frozen."""

    labelled: int  # captures with a first pseudo-mask
    corrected: int = 0  # corrections by people

    def suffice(self, policy: SchedulePolicy) -> bool:
        """Whether they are enough for another run."""
        return self.labelled >= policy.captures_min or self.corrected >= policy.corrections_min


def is_due(*, new: NewCaptures, normals: int, last: RunState | None, now: datetime, policy: SchedulePolicy) -> bool:
    """Whether captures suffice for a run and the cooldown has passed.

    Args:
        new: since the training set of the last trained run was frozen.
        normals: captures known to be good.
        last: the last run; None before the first.
        now: the time of day.
        policy: minima and cooldown.
    """
    if normals < policy.normals_min or not new.suffice(policy):
        return False
    if last is None:
        return True
    if last.judgement is None:
        return False  # a line has one open run at a time
    return now - last.judgement.judged_at >= timedelta(seconds=policy.cooldown_s)


def may_start_job(run: RunState, *, now: datetime, policy: SchedulePolicy) -> bool:
    """Whether the delay since the job's last start has passed."""
    if run.last_attempt_at is None:
        return True
    delay_s = policy.retry_s[min(run.attempts, len(policy.retry_s) - 1)]
    return now - run.last_attempt_at >= timedelta(seconds=delay_s)
