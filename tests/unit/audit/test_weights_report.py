"""The report of a line's weights: what judges, what was refused and why, what may return."""

from dataclasses import replace

import pytest

from services.trainer.domain.judge import JudgePolicy, judge
from siad.audit.rollback import read_rollback, roll_back
from siad.audit.weights_report import PlaceWeights, read_weights
from siad.contracts import keys
from siad.contracts.corrections import ThresholdSet
from siad.contracts.documents import LineState, write_line
from siad.contracts.events import WeightsKind
from siad.contracts.ids import WeightsId
from siad.contracts.learning import LearningHold
from siad.contracts.place import Place
from siad.contracts.quarantine import QuarantineRecord, TaintedKind
from siad.contracts.training_runs import RunReport, RunSpec, run_name
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.store.brakes import StoredHolds
from siad.runtime.store.quarantine import Quarantine
from tests.events import NOON, make_line_changed
from tests.unit.audit.test_rollback import PLACE, SEGMENTER, TEACHER, released, stored
from tests.unit.trainer.test_judge import GOOD, REPORT, SPEC
from tests.unit.vision.test_gate import evidence


@pytest.fixture
def blobs() -> MemoryBlobs:
    blobs = MemoryBlobs()
    settings = make_line_changed(line="l", product="p")
    blobs.put(keys.line_pointer_key("l"), write_line(LineState(settings=settings)))
    return blobs


def put_run(blobs: MemoryBlobs, number: int, report: RunReport) -> None:
    """Store a run that was judged."""
    run = run_name(*PLACE, number)
    spec: RunSpec = replace(SPEC, run=run)
    judgement = judge(spec, replace(report, run=run), policy=JudgePolicy(), now=NOON)
    blobs.put(keys.run_spec_key(run), spec.to_json())
    blobs.put(keys.run_report_key(run), replace(report, run=run).to_json())
    blobs.put(keys.run_judgement_key(run), judgement.to_json())


async def report_of(blobs: MemoryBlobs) -> PlaceWeights:
    [found] = await read_weights(AsyncBlobs(blobs, workers=1), "l")
    return found


async def states(blobs: MemoryBlobs) -> dict[str, str]:
    return {one.lineage.weights: one.state for one in (await report_of(blobs)).entries}


async def test_a_line_without_weights_has_no_report(blobs: MemoryBlobs) -> None:
    assert await read_weights(AsyncBlobs(blobs, workers=1), "l") == []


async def test_the_segmenter_judges_and_the_teacher_is_in_service(blobs: MemoryBlobs) -> None:
    [teacher] = released(blobs, TEACHER, 1.0)
    first, second = released(blobs, SEGMENTER, 2.0, 3.0)
    found = await report_of(blobs)
    assert [(one.lineage.weights, one.state) for one in found.entries] == [
        (second, "judges"), (teacher, "in service"), (first, "served before")
    ]  # fmt: skip
    assert found.judges is not None
    assert [one.may_return for one in found.entries] == [False, True, True]


async def test_a_refused_candidate_says_why_and_may_not_return(blobs: MemoryBlobs) -> None:
    released(blobs, TEACHER, 1.0)
    refused = stored(blobs, SEGMENTER, 9.0)
    put_run(blobs, 1, replace(REPORT, weights=refused.weights, candidate=replace(GOOD, image_auroc=0.5)))
    found = await report_of(blobs)
    [entry] = [one for one in found.entries if one.lineage.weights == refused.weights]
    assert (entry.state, entry.may_return) == ("refused", False)
    assert entry.decision is not None
    assert "image AUROC 0.500 is under 0.850" in entry.decision.text
    assert dict(entry.decision.figures) == {"image_auroc": 0.5, "pixel_ap": 0.6}
    assert [run.spec.run for run in found.runs] == [run_name(*PLACE, 1)]


async def test_figures_of_the_gate_stand_beside_those_of_what_served(blobs: MemoryBlobs) -> None:
    released(blobs, TEACHER, 1.0)
    made = stored(blobs, SEGMENTER, 9.0)
    put_run(blobs, 1, replace(REPORT, weights=made.weights, evidence=evidence((0.5, 1.5), (0.4, 1.6))))
    [entry] = [one for one in (await report_of(blobs)).entries if one.lineage.weights == made.weights]
    assert entry.decision is not None
    names = {name for name, _ in entry.decision.figures}
    assert {name.removesuffix("_serving") for name in names if name.endswith("_serving")} <= names


async def test_what_a_rollback_left_and_what_is_in_quarantine_is_said(blobs: MemoryBlobs) -> None:
    [teacher] = released(blobs, TEACHER, 1.0)
    first, second = released(blobs, SEGMENTER, 2.0, 3.0)
    roll_back(blobs, read_rollback(blobs, PLACE), now=NOON)
    assert await states(blobs) == {first: "judges", second: "left by a rollback", teacher: "in service"}
    record = QuarantineRecord(
        line="l", kind=TaintedKind.WEIGHTS, subject=second, root=second, reason="dirt", tainted_at=NOON
    )
    Quarantine(blobs).put(record)
    assert (await states(blobs))[second] == "in quarantine"


async def test_hold_and_threshold_show(blobs: MemoryBlobs) -> None:
    [teacher] = released(blobs, TEACHER, 1.0)
    hold = LearningHold(is_on=True, by="ann", reason="new lamp", since_at=NOON, command_id="0a" * 16)
    holds = StoredHolds(AsyncBlobs(blobs, workers=1))
    await holds.read(PLACE)
    await holds.put(PLACE, hold)
    threshold = ThresholdSet(
        line="l", product="p", weights=WeightsId(teacher), revision=1, image_threshold=1.25, budget=0.05,
        estimated=0.04, low=0.01, high=0.1, normals=10, stream_captures=0, answers=3, reason="answers", set_at=NOON,
    )  # fmt: skip
    blobs.put(keys.threshold_key(*Place("l", "p"), teacher), threshold.to_json())
    found = await report_of(blobs)
    assert found.hold == hold
    assert "ann holds it" in found.paused
    assert found.judges is not None
    assert (found.judges.threshold, found.judges.lineage.kind) == (1.25, WeightsKind.TEACHER)
