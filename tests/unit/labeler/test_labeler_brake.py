"""When learning stops, and when it goes on."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest

from services.labeler.adapters.teachers import ServingTeachers
from services.labeler.domain.brake import DEFAULT_BRAKE, figures_of, move_brake
from services.labeler.metrics import BRAKE_ON, LEARNING_PAUSED
from siad.contracts.events import TeacherReleased
from siad.contracts.learning import LearningBrake, LearningMode, why_not_learning
from siad.contracts.stream_scores import StreamScore
from siad.contracts.topics import TEACHER
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.state_table import StateTable
from tests.events import NOON
from tests.unit.labeler.test_labeler_plan import fitted
from tests.unit.labeler.test_labeler_refits import LEVEL, mask, row
from tests.unit.labeler.world import LINE, PRODUCT, World, capture

RECENT = DEFAULT_BRAKE.recent


def stream(
    count: int, *, seed: int = 0, defects: float = 0.1, factor: float = 1.0, first: int = 0
) -> list[StreamScore]:
    """Scores of good and defective parts; ``factor`` is what all are multiplied by."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(first, first + count):
        is_defect = rng.random() < defects
        score = factor * 2.0 * float(np.exp(rng.normal(0.7 if is_defect else -0.6, 0.3)))
        one = row(number, score)
        area, regions = 0.005 * float(np.exp(rng.normal(0.0, 1.5))), int(rng.geometric(0.4))
        rows.append(replace(one, defect_ratio=min(area, 1.0), regions=regions) if one.is_defect else one)
    return rows


def moved(
    rows: Sequence[StreamScore], before: LearningBrake | None = None, now: datetime = NOON
) -> LearningBrake | None:
    return move_brake(rows, before, None, now=now)


def on(rows: Sequence[StreamScore]) -> LearningBrake:
    brake = moved(rows)
    assert brake is not None
    assert brake.is_on
    return brake


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("defects", [0.0, 0.05, 0.2, 0.3])
def test_an_even_stream_never_stops_learning(seed: int, defects: float) -> None:
    rows = stream(300, seed=seed, defects=defects)
    for count in range(RECENT, 300, 7):
        assert moved(rows[:count]) is None


@pytest.mark.parametrize("seed", range(40))
def test_a_halved_threshold_stops_learning_within_fifty_captures(seed: int) -> None:
    usual = stream(100, seed=seed)
    for count in range(50):
        if moved([*usual, *stream(count, seed=seed + 1000, factor=2.0, first=100)]) is not None:
            return
    pytest.fail("fifty captures did not stop it")


def test_the_reason_has_the_figures() -> None:
    brake = on([*stream(100), *stream(30, seed=9, factor=2.0, first=100)])
    assert any("of the last 25 captures are marked, " in reason for reason in brake.reasons)
    assert any("the 20% quantile of the last 25 scores is 0." in reason for reason in brake.reasons)
    assert brake.held_from_at == NOON + timedelta(minutes=105)


def test_a_lasting_fault_never_becomes_usual() -> None:
    usual, faulty = stream(100), stream(900, seed=9, factor=2.0, first=100)
    brake = on([*usual, *faulty[:30]])
    assert moved([*usual, *faulty][-1000:], brake) is None


def test_learning_resumes_once_captures_are_as_before_and_forgets_the_fault() -> None:
    usual, faulty = stream(100), stream(60, seed=9, factor=2.0, first=100)
    brake = on([*usual, *faulty[:20]])
    good = stream(RECENT, seed=3, first=160)
    off = moved([*usual, *faulty, *good], brake)
    assert off is not None
    assert not off.is_on
    rows = [*usual, *faulty, *good, *stream(RECENT, seed=4, first=185)]
    assert moved(rows, off) is None
    again = moved([*rows, *stream(30, seed=5, factor=2.0, first=210)], off)
    assert again is not None
    assert again.is_on
    assert again.baseline is not None
    assert again.baseline.log_ratio == pytest.approx(figures_of(usual).log_ratio, abs=0.15)


def test_marks_that_grow_or_fall_apart_stop_learning() -> None:
    usual = stream(200, defects=0.4)
    after = stream(RECENT, seed=8, defects=0.4, first=200)
    assert moved([*usual, *after]) is None
    wide = on([*usual, *(replace(one, defect_ratio=30 * one.defect_ratio) for one in after)])
    assert len(wide.reasons) == 1
    assert re.fullmatch(r"marks cover \d\d\.\d\d% of a marked image, 0\.\d\d% before", wide.reasons[0])
    split = on([*usual, *(replace(one, regions=9 * one.regions) for one in after)])
    assert len(split.reasons) == 1
    assert re.fullmatch(r"a marked image has \d+(\.5)? regions, 2 before", split.reasons[0])


def test_few_marked_captures_of_another_size_are_no_fault() -> None:
    usual = stream(200, defects=0.4)
    rows = [*usual, *stream(RECENT, seed=8, defects=0.0, first=200)]
    marked = [index for index, one in enumerate(rows) if one.is_defect][-4:]
    rows = [replace(one, defect_ratio=1e-5) if index in marked else one for index, one in enumerate(rows)]
    assert moved(rows) is None or "cover" not in on(rows).reasons[0]


def test_a_teacher_that_is_blind_stops_learning() -> None:
    brake = on([*stream(200, defects=0.5), *stream(RECENT, seed=8, factor=0.3, first=200)])
    assert "1 of the last 25 captures are marked" in brake.reasons[0]


def test_a_first_teacher_that_marks_nearly_everything_stops_learning() -> None:
    assert moved(stream(RECENT, defects=0.3)) is None
    brake = on(stream(RECENT, factor=4.0))
    assert "at most 50% assumed of a young line" in brake.reasons[0]
    assert brake.baseline is None


def test_a_refit_that_decides_otherwise_stops_learning() -> None:
    rows = stream(100)
    flipped = replace(LEVEL, candidate=replace(LEVEL.candidate, threshold=0.1))
    record = replace(fitted(10), weights=rows[-1].weights + "0" * 52, evidence=LEVEL)
    assert move_brake(rows, None, record, now=NOON) is None
    brake = move_brake(rows, None, replace(record, evidence=flipped), now=NOON)
    assert brake is not None
    assert "decides 24 of 40 compared captures otherwise" in brake.reasons[0]


def test_a_person_decides_over_the_brake() -> None:
    brake = on([*stream(100), *stream(30, seed=9, factor=2.0, first=100)])
    assert brake.reasons[0] in why_not_learning(LearningMode.AUTO, brake, line="l")
    assert "siad line put l --learning on" in why_not_learning(LearningMode.AUTO, brake, line="l")
    assert why_not_learning(LearningMode.ON, brake, line="l") == ""
    assert why_not_learning(LearningMode.AUTO, replace(brake, is_on=False), line="l") == ""
    assert "siad line put l --learning auto" in why_not_learning(LearningMode.OFF, None, line="l")


async def test_a_teacher_with_its_threshold_halved_stops_learning_and_nothing_is_released() -> None:
    world = World()
    world.add_normals(10)
    await world.settle()

    async def show(numbers: range, factor: float) -> list[str]:
        """Captures of the stream; the world settles after every five."""
        done: list[str] = []
        for number, one in zip(numbers, stream(len(numbers), seed=numbers.start, factor=factor), strict=True):
            world.add(capture(number, minutes=2 + number))
            shown = replace(mask(number, one.score, world.teacher().weights), defect_ratio=one.defect_ratio)
            world.stream.note(replace(shown, received_at=NOON + timedelta(minutes=number)))
            if number % 5 == 4:
                await world.stream.store()
                done += await world.settle()
        return done

    world.serve.evidence = LEVEL.to_json().decode()
    assert await show(range(150), 1.0) == ["FitTeacher", "FitTeacher"]  # at fifty and at a hundred
    halved = replace(world.teacher(), image_threshold=world.teacher().image_threshold / 2)
    world.release(halved)
    assert await show(range(150, 200), 2.0) == ["AnnounceTeacher", "MoveBrake"]  # and no refit at two hundred
    assert world.teacher() == halved
    metric = LEARNING_PAUSED.labels(LINE, PRODUCT)._value.get()
    assert metric == 1
    assert BRAKE_ON.labels(LINE, PRODUCT)._value.get() == 1
    world.set_line(learning="off")
    assert await world.settle() == []
    assert (metric, BRAKE_ON.labels(LINE, PRODUCT)._value.get()) == (1, 0)  # by a person, no alert
    world.set_line(learning="on")
    assert await world.settle() == ["FitTeacher"]  # a person decides


async def test_a_paused_line_still_gets_a_teacher_of_other_settings() -> None:
    world = World()
    world.add_normals(10)
    await world.settle()
    world.set_line(learning="off")
    world.add_normals(20)
    assert await world.settle() == []
    world.set_line(learning="off", false_reject_budget=0.2)
    assert await world.settle() == ["FitTeacher"]


async def test_the_state_of_learning_and_the_latest_fit_are_told() -> None:
    world = World()
    world.add_normals(10)
    await world.settle()
    store = AsyncBlobs(world.blobs, workers=1)
    table = StateTable(TEACHER, TeacherReleased, stage="labeler")
    teachers = ServingTeachers(table, store)
    table._values[f"{LINE}/{PRODUCT}"] = world.releases()[0]
    [facts] = await teachers.facts()
    assert (facts.learning_paused, facts.no_stream) == ("", "")
    assert facts.last_fit.startswith("first, ")
    world.set_line(learning="off")
    [facts] = await teachers.facts()
    assert "switched off" in facts.learning_paused
