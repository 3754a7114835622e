"""Policy and findings of the gate, and comparisons that rules share. Pure."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from siad.contracts.release_evidence import EvidenceKind, GateEvidence, ModelFigures


@dataclass(frozen=True, slots=True, kw_only=True)
class GatePolicy:
    """Limits of the rules; docs/adr/0033-gate.md has the reasons."""

    captures_min: int = 12  # of the stream; the correlation of fewer scatters too much
    rank_agreement_min: float = 0.9
    merit_loss_max: float = 0.005  # of the sum of two figures of 0..1, that releases may lose by chance
    missed_probes_max: float = 0.1  # share of the probes that may be missed besides those that the serving weights miss
    doubt: float = 0.05  # a difference whose probability by chance is lower is no chance
    pseudo_normal_share: float = 0.6  # of the stream, from the lowest score up
    corrected_doubt: float = 0.25  # as ``doubt``, of corrected captures against the candidate: two of two, four of five
    corrected_proof: float = 0.125  # as ``doubt``, in its favour: three of three, five of six
    corrected_each_min: int = 3  # good and defective ones, to compare how they rank
    corrected_auroc_slack: float = 0.02  # lower refuses; higher leans the candidate's way where no mask is known
    corrected_pooled_slack: float = 0.05  # of pixel AP over all corrected captures together
    leaning_min: int = 4  # corrected masks; of fewer, more better than worse says little
    forgetting_max: float = 0.03  # of pixel AP of a family
    family_min: int = 2  # captures; a single one is no measure


DEFAULT_POLICY: Final = GatePolicy()


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleFinding:
    """What one rule found."""

    objections: tuple[str, ...] = ()
    within_chance: tuple[str, ...] = ()  # of the objections, differences that chance may explain
    praise: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    figures: tuple[tuple[str, float], ...] = ()
    is_proof: bool = False  # corrected captures favour the candidate beyond chance
    is_leaning: bool = False  # they favour it, and chance may explain that


def chance_of_at_least(count: int, trials: int, rate: float) -> float:
    """Return P(X >= ``count``) of a binomial with ``trials`` and ``rate``."""
    return 1 - sum(math.comb(trials, k) * rate**k * (1 - rate) ** (trials - k) for k in range(count))


def is_worse(losses: int, wins: int, doubt: float) -> bool:
    """Whether losses outnumber wins beyond chance, by the sign test."""
    return losses > wins and chance_of_at_least(losses, losses + wins, 0.5) <= doubt


def positions_of(evidence: GateEvidence, *kinds: EvidenceKind) -> list[int]:
    """List where captures of some kinds are in the evidence."""
    return [index for index, capture in enumerate(evidence.captures) if capture.kind in kinds]


def take(scores: Sequence[float], positions: Iterable[int]) -> list[float]:
    """Take the scores at some positions."""
    return [scores[index] for index in positions]


def rejects(figures: ModelFigures, positions: Iterable[int]) -> list[bool]:
    """Whether a model rejects each of some captures."""
    return [score >= figures.threshold for score in take(figures.scores, positions)]


def pixel_ap_pairs(evidence: GateEvidence, positions: Iterable[int]) -> list[tuple[float, float]]:
    """Pixel AP of candidate and serving weights, where both have one."""
    sides = [(evidence.candidate.pixel_aps[index], evidence.serving.pixel_aps[index]) for index in positions]
    return [(ours, theirs) for ours, theirs in sides if ours is not None and theirs is not None]


def count_only(these: Sequence[bool], others: Sequence[bool]) -> int:
    """Count the positions where only the first holds."""
    return int(np.count_nonzero(np.asarray(these, bool) & ~np.asarray(others, bool)))
