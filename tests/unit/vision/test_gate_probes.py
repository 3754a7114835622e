"""A lower merit on synthetic defects: level, or worse."""

from dataclasses import replace

import numpy as np
import pytest

from siad.contracts.release_evidence import GateEvidence, ModelFigures
from siad.vision.gate import judge_release
from siad.vision.merit_change import balance_after
from tests.unit.vision.test_gate import PROBES, SCORES, evidence

HOSTS = 12


def merits(gains: np.ndarray) -> tuple[GateEvidence, float]:
    """Evidence whose merit differs by ``gains`` from host to host, and the mean of them."""
    mean = float(gains.mean())
    without = [(gains.sum() - gain) / (HOSTS - 1) for gain in gains]
    made = evidence(SCORES)
    ours = replace(PROBES, pixel_ap=PROBES.pixel_ap + mean, merits_without=tuple(PROBES.merit + one for one in without))
    theirs = replace(PROBES, merits_without=(PROBES.merit,) * HOSTS)
    return replace(made, candidate=side(made.candidate, ours), serving=side(made.serving, theirs)), mean


def side(figures: ModelFigures, probes: object) -> ModelFigures:
    return replace(figures, probes=probes)  # type: ignore[arg-type]


def gains(mean: float, scatter: float) -> np.ndarray:
    """Gains of twelve hosts with exactly this mean and standard error."""
    drawn = np.random.default_rng(0).normal(size=HOSTS)
    drawn = (drawn - drawn.mean()) / drawn.std(ddof=1)
    return np.asarray(mean + drawn * scatter * np.sqrt(HOSTS))


@pytest.mark.parametrize(
    ("mean", "scatter", "accepted", "text"),
    [
        (-0.003, 0.01, True, ""),  # level: seven in ten such differences are larger by chance
        (-0.003, 0.001, False, "-0.003 in all, beyond its scatter of 0.001 over 12 captures"),
        (-0.006, 0.1, False, "-0.006 in all, at most -0.005 may be lost"),  # chance or not
        (0.003, 0.1, True, ""),
    ],
)
def test_a_lower_merit_is_refused_beyond_chance_or_over_the_bound(
    mean: float, scatter: float, accepted: bool, text: str
) -> None:
    made, _ = merits(gains(mean, scatter))
    decision = judge_release(made)
    assert decision.accepted is accepted
    assert text in decision.text


def test_the_limit_of_chance_is_that_of_students_t() -> None:
    made = [merits(gains(-0.004, 0.004 / t))[0] for t in (1.79, 1.80)]  # t of 11 degrees at .05 is 1.796
    assert [judge_release(one).accepted for one in made] == [True, False]


def test_evidence_without_hosts_is_judged_as_before() -> None:
    made, _ = merits(gains(-0.001, 0.01))
    assert judge_release(made).accepted
    assert made.candidate.probes is not None
    bare = replace(made, candidate=side(made.candidate, replace(made.candidate.probes, merits_without=())))
    assert not judge_release(bare).accepted


def test_small_losses_do_not_add_up_over_releases() -> None:
    step = merits(gains(-0.0016, 0.01))[0]
    balance, released = 0.0, 0
    while judge_release(one := replace(step, merit_balance=balance)).accepted:
        balance, released = balance_after(one, doubt=0.05), released + 1
        assert released < 10, "losses add up without end"
    assert released == 3
    assert "-0.002 in all, earlier releases -0.005, at most -0.005 may be lost" in judge_release(one).text
    for gain, scatter, after in ((0.02, 0.01, 0.0), (0.02, 0.1, balance), (0.001, 0.0001, balance + 0.001)):
        gained = replace(merits(gains(gain, scatter))[0], merit_balance=balance)
        assert balance_after(gained, doubt=0.05) == pytest.approx(after)  # regained, by chance, and in part
    assert GateEvidence.from_json(one.to_json()) == one
