"""Rows of the demo's table: which models there were, and how sure their figures are."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from siad.apps.console_client import CaptureAnswer
from siad.apps.lab.demo.cells import Cell
from siad.apps.lab.demo.observe import add_record
from siad.apps.lab.demo.releases import CellScores, NamedRelease, Release, auroc_error, name_releases, row_of
from siad.apps.lab.demo.report import DemoObservations
from siad.apps.lab.demo.reviewer import answer_cells, wait_for
from siad.contracts.codec import encode
from siad.contracts.events import SegmenterReleased, SegmenterStatus, TeacherReleased, WeightsKind
from siad.contracts.ids import WeightsId
from siad.contracts.topics import SEGMENTER, TEACHER
from siad.runtime.bus.port import Record, TopicPartition
from siad.vision.scores import image_auroc

START = datetime(2026, 11, 30, 8, tzinfo=UTC)


def weights(digit: str) -> WeightsId:
    return WeightsId(digit * 64)


def release(digit: str, second: int, kind: WeightsKind = WeightsKind.TEACHER) -> Release:
    return Release(kind=kind, weights=weights(digit), released_at=START + timedelta(seconds=second))


def test_models_are_named_in_the_order_of_their_release() -> None:
    found = name_releases(
        [
            release("b", 50),
            release("a", 0),
            release("c", 60, WeightsKind.SEGMENTER),
            release("c", 61, WeightsKind.SEGMENTER),  # told twice
            release("d", 200),
            release("e", 220, WeightsKind.SEGMENTER),
        ],
        answered_at=START + timedelta(seconds=100),
        answers=20,
        thresholds={weights("e"): 2.5, weights("a"): 9.0},
    )
    assert [(one.name, one.weights[0], one.image_threshold) for one in found] == [
        ("teacher", "a", None),
        ("refit, no label", "b", None),
        ("segmenter, no label", "c", None),
        ("refit after 20 answers", "d", None),
        ("segmenter after 20 answers", "e", None),
        ("its threshold after 20 answers", "e", 2.5),
    ]


def test_without_a_segmenter_the_newest_teacher_has_the_threshold() -> None:
    found = name_releases(
        [release("a", 0), release("b", 50)], answered_at=START, answers=3, thresholds={weights("b"): 2.0}
    )
    assert [one.image_threshold for one in found] == [None, None, 2.0]


def test_a_row_counts_at_its_own_threshold() -> None:
    scores = CellScores(threshold=1.0, good=(0.1, 0.2, 0.3, 1.0), defective=(0.9, 2.0))
    row = row_of(NamedRelease(name="teacher", weights=weights("a")), scores)
    assert (row["false_reject_rate"], row["detection_rate"], row["captures"]) == (0.25, 0.5, 6)
    assert row["image_auroc"] == pytest.approx(7 / 8)


@pytest.mark.parametrize("shift", [0.5, 1.5])
def test_the_stated_error_is_the_scatter_over_draws(shift: float) -> None:
    rng = np.random.default_rng(0)
    is_bad = [False] * 60 + [True] * 60
    drawn = [image_auroc([*rng.normal(size=60), *rng.normal(shift, size=60)], is_bad) for _ in range(300)]
    assert auroc_error(float(np.mean(drawn)), good=60, bad=60) == pytest.approx(np.std(drawn), rel=0.2)


class FakeConsole:
    """Shows two captures, one of them of an unknown part."""

    def __init__(self) -> None:
        self.answers: dict[str, CaptureAnswer] = {}

    async def review(self, line: str, *, count: int, product: str | None = None) -> dict[str, Any]:
        serials = ("good", "bad", "doubtful", "stranger")
        return {"items": [{"serial": serial, "capture_id": f"id-{serial}"} for serial in serials][:count]}

    async def correct(self, line: str, capture_id: str, answer: CaptureAnswer) -> dict[str, Any]:
        self.answers[capture_id] = answer
        return {}


def test_answers_are_the_labels_that_experts_are_certain_of() -> None:
    console = FakeConsole()
    cells = [Cell(Path("good.png"), 0.0), Cell(Path("bad.png"), 1.0), Cell(Path("doubtful.png"), 1 / 3)]
    assert asyncio.run(answer_cells(console, cells, count=20)) == 3
    assert {name: answer.verdict for name, answer in console.answers.items()} == {
        "id-good": "good",
        "id-bad": "defect",
        "id-doubtful": "unsure",
    }
    assert {answer.author for answer in console.answers.values()} == {"simulated reviewer"}


async def test_waiting_ends_when_it_is_done_or_late() -> None:
    assert await wait_for(lambda: True, timeout_s=5.0)
    assert not await wait_for(lambda: False, timeout_s=0.0)


def test_releases_are_observed_and_withdrawals_are_none() -> None:
    seen = DemoObservations()
    teacher = TeacherReleased(line="l", product="p", revision=1, released_at=START, weights=weights("a"))
    add_record(record(TEACHER.name, encode(teacher)), seen)
    for digit, status in (("b", SegmenterStatus.SERVING), ("c", SegmenterStatus.WITHDRAWN)):
        segmenter = SegmenterReleased(
            line="l", product="p", revision=1, released_at=START, weights=weights(digit), status=status
        )
        add_record(record(SEGMENTER.name, encode(segmenter)), seen)
    assert [(one.kind, one.weights[0]) for one in seen.releases] == [
        (WeightsKind.TEACHER, "a"),
        (WeightsKind.SEGMENTER, "b"),
    ]


def record(topic: str, value: bytes) -> Record:
    return Record(topic_partition=TopicPartition(topic, 0), offset=0, key=b"l/p", value=value)
