"""Change of merit on synthetic defects between two models. Pure.

Both models see the same defects in the same good captures (the hosts), so the scatter of the difference is that of
pairs: each host is left out in turn (the jackknife; Efron and Stein 1981), and the difference is compared with
Student's t of one degree of freedom fewer than hosts.

A line has a small allowance for losses that may be chance. Every loss that is released uses it up; only a gain beyond
chance restores it, since a lucky draw must not pay for the next loss.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from siad.contracts.release_evidence import GateEvidence

HOSTS_MIN = 2  # to tell the scatter


@dataclass(frozen=True, slots=True)
class MeritChange:
    """Gain of a candidate in image AUROC + pixel AP, and its scatter."""

    gain: float  # negative where the candidate is lower
    scatter: float | None  # standard error; None where the evidence is of an earlier version
    hosts: int

    def is_beyond_chance(self, doubt: float) -> bool:
        """Whether chance rarely gives so large a change: at most ``doubt``.

        True where the scatter is not known.
        """
        return self.scatter is None or abs(self.gain) > -float(stdtrit(self.hosts - 1, doubt)) * self.scatter


def merit_change(evidence: GateEvidence) -> MeritChange | None:
    """Compare the merits; None where one of the two has no probes."""
    ours, theirs = evidence.candidate.probes, evidence.serving.probes
    if ours is None or theirs is None:
        return None
    gain, hosts = ours.merit - theirs.merit, len(ours.merits_without)
    if hosts < HOSTS_MIN or hosts != len(theirs.merits_without):
        return MeritChange(gain, None, hosts)
    without = np.subtract(ours.merits_without, theirs.merits_without)
    return MeritChange(gain, math.sqrt((hosts - 1) * float(np.var(without))), hosts)


@dataclass(frozen=True, slots=True)
class MeritLoss:
    """A lower merit that refuses a candidate."""

    text: str
    is_within_chance: bool


def find_loss(evidence: GateEvidence, *, loss_max: float, doubt: float) -> MeritLoss | None:
    """Say why a lower merit refuses a candidate.

    None where it does not.

    Args:
        evidence: of the candidate.
        loss_max: that releases may lose in all before a gain beyond chance.
        doubt: a loss whose probability by chance is at most this refuses whatever was lost before.
    """
    change = merit_change(evidence)
    if change is None or change.gain >= 0:
        return None
    if change.scatter is None:
        return MeritLoss(f"{change.gain:+.3f} in all", is_within_chance=False)
    if change.is_beyond_chance(doubt):
        text = f"{change.gain:+.3f} in all, beyond its scatter of {change.scatter:.3f} over {change.hosts} captures"
        return MeritLoss(text, is_within_chance=False)
    if evidence.merit_balance + change.gain < -loss_max:
        before = f", earlier releases {evidence.merit_balance:+.3f}" if evidence.merit_balance else ""
        text = f"{change.gain:+.3f} in all{before}, at most {-loss_max:+g} may be lost"
        return MeritLoss(text, is_within_chance=True)
    return None


def balance_after(evidence: GateEvidence, *, doubt: float) -> float:
    """Compute the balance for the next comparison, if the candidate serves."""
    change = merit_change(evidence)
    if change is None or (change.gain > 0 and not change.is_beyond_chance(doubt)):
        return evidence.merit_balance
    return min(0.0, evidence.merit_balance + change.gain)
