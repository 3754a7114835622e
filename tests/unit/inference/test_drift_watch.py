"""The watch of drift: episodes in the store with both captures, across processes and outages."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from services.inference.adapters.drift import SEEN_MIN, DriftWatch
from services.inference.domain.judge import CaptureJudgement, UnknownReason
from siad.apps.cli.drift import describe_record, read_drifts, save_pairs
from siad.contracts.drift import DriftCause, DriftRecord
from siad.contracts.events import Decision, ImageStored
from siad.contracts.ids import ImageId
from siad.contracts.keys import drift_key, image_key
from siad.contracts.view_baseline import ViewBaseline
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.testing.clock import FakeClock
from siad.vision.images import decode_image
from siad.vision.threshold_in_use import ThresholdInUse
from siad.vision.view_figures import make_baseline, measure_view
from tests.events import make_image_stored
from tests.synthetic import png
from tests.unit.vision.test_view_figures import blurred, scene

LINE, PRODUCT = "drift-line", "cap"


@pytest.fixture(scope="module")
def baseline() -> ViewBaseline:
    made = make_baseline([scene(seed) for seed in range(10)])
    assert made is not None
    return made


@pytest.fixture
def blobs() -> MemoryBlobs:
    return MemoryBlobs()


@pytest.fixture
def store(blobs: MemoryBlobs) -> Iterator[AsyncBlobs]:
    asynchronous = AsyncBlobs(blobs, workers=1)
    yield asynchronous
    asynchronous.close()


def capture(number: int, blobs: MemoryBlobs, image: NDArray[np.uint8]) -> ImageStored:
    image_id = ImageId(f"{number:064x}")
    key = image_key(LINE, datetime(2026, 1, 1, tzinfo=UTC), image_id, "png")
    blobs.put(key, png(image))
    return make_image_stored(
        capture_id=f"{number:032x}", image_id=image_id, image_uri=blobs.uri(key), line=LINE, product=PRODUCT
    )


def judged(image: NDArray[np.uint8], baseline: ViewBaseline) -> CaptureJudgement:
    return CaptureJudgement(
        decision=Decision.PASS,
        score=0.4,
        threshold=ThresholdInUse(image_threshold=1.0),
        weights="a" * 64,
        baseline=baseline,
        figures=measure_view(image, baseline),
    )


def note(watch: DriftWatch, blobs: MemoryBlobs, baseline: ViewBaseline, numbers: range, *, is_blurred: bool) -> None:
    for number in numbers:
        image = blurred(scene(5000 + number)) if is_blurred else scene(5000 + number)
        watch.note(capture(number, blobs, image), judged(image, baseline))


def exported(cause: str) -> float | None:
    return REGISTRY.get_sample_value("siad_inference_drift_info", {"line": LINE, "product": PRODUCT, "cause": cause})


async def test_a_drift_is_recorded_with_both_captures_and_ends(
    store: AsyncBlobs, blobs: MemoryBlobs, baseline: ViewBaseline
) -> None:
    watch = DriftWatch(store, clock=FakeClock())
    note(watch, blobs, baseline, range(20), is_blurred=False)
    await watch.store()
    assert read_drifts(blobs, LINE) == []  # nothing drifts, nothing is written
    note(watch, blobs, baseline, range(20, 50), is_blurred=True)
    await watch.store()
    (record,) = read_drifts(blobs, LINE)
    (episode,) = record.lasting()
    assert episode.cause is DriftCause.FOCUS
    assert episode.before is not None
    assert int(episode.before.capture_id, 16) < 20 <= int(episode.after.capture_id, 16)
    assert exported("focus") == 1
    assert exported("light") == 0
    note(watch, blobs, baseline, range(50, 90), is_blurred=False)
    await watch.store()
    assert read_drifts(blobs, LINE)[0].lasting() == ()
    assert exported("focus") == 0


async def test_the_next_process_keeps_a_drift_that_lasts_and_ends_one_that_does_not(
    store: AsyncBlobs, blobs: MemoryBlobs, baseline: ViewBaseline
) -> None:
    first = DriftWatch(store, clock=FakeClock())
    note(first, blobs, baseline, range(30), is_blurred=True)
    await first.store()
    (before,) = read_drifts(blobs, LINE)
    second = DriftWatch(store, clock=FakeClock())
    note(second, blobs, baseline, range(30, 30 + SEEN_MIN), is_blurred=True)
    await second.store()
    assert read_drifts(blobs, LINE) == [before]
    third = DriftWatch(store, clock=FakeClock())
    note(third, blobs, baseline, range(30), is_blurred=False)
    await third.store()
    assert len(read_drifts(blobs, LINE)[0].lasting()) == 1  # too few captures to say that it ended
    note(third, blobs, baseline, range(30, SEEN_MIN), is_blurred=False)
    await third.store()
    assert read_drifts(blobs, LINE)[0].lasting() == ()


async def test_in_an_outage_the_record_waits(store: AsyncBlobs, blobs: MemoryBlobs, baseline: ViewBaseline) -> None:
    watch = DriftWatch(store, clock=FakeClock())
    note(watch, blobs, baseline, range(30), is_blurred=True)
    blobs.down = True
    with capture_logs() as logs:
        await watch.store()
    assert [entry["event"] for entry in logs] == ["drift_put_off"]
    blobs.down = False
    await watch.store()
    assert len(read_drifts(blobs, LINE)) == 1


async def test_a_damaged_record_begins_anew(store: AsyncBlobs, blobs: MemoryBlobs, baseline: ViewBaseline) -> None:
    blobs.put(drift_key(LINE, PRODUCT), b"{")
    watch = DriftWatch(store, clock=FakeClock())
    note(watch, blobs, baseline, range(30), is_blurred=True)
    await watch.store()
    assert len(read_drifts(blobs, LINE)[0].lasting()) == 1


async def test_captures_that_were_not_judged_do_not_count(store: AsyncBlobs, blobs: MemoryBlobs) -> None:
    watch = DriftWatch(store, clock=FakeClock())
    for number in range(40):
        watch.note(capture(number, blobs, scene(0)), CaptureJudgement.unknown(UnknownReason.LATE))
    await watch.store()
    assert read_drifts(blobs, LINE) == []


async def test_the_last_change_is_recorded_when_the_stage_stops(
    store: AsyncBlobs, blobs: MemoryBlobs, baseline: ViewBaseline
) -> None:
    watch, stop = DriftWatch(store, clock=FakeClock()), asyncio.Event()
    running = asyncio.create_task(watch.run(stop))
    note(watch, blobs, baseline, range(30), is_blurred=True)
    stop.set()
    await asyncio.wait_for(running, 10)
    assert len(read_drifts(blobs, LINE)) == 1


async def test_people_read_since_when_what_differs_and_see_both_images(
    store: AsyncBlobs, blobs: MemoryBlobs, baseline: ViewBaseline, tmp_path: Path
) -> None:
    watch = DriftWatch(store, clock=FakeClock())
    note(watch, blobs, baseline, range(20), is_blurred=False)
    note(watch, blobs, baseline, range(20, 50), is_blurred=True)
    await watch.store()
    records = read_drifts(blobs, LINE)
    text = "\n".join(describe_record(records[0]))
    assert f"{LINE}/{PRODUCT}: focus since " in text
    assert "sharpness: " in text
    assert "do: check the lens" in text
    (path,) = save_pairs(blobs, records, tmp_path)
    pair = decode_image(path.read_bytes())
    left, right = pair[:400, :400, 0].astype(float), pair[:400, 660:1060, 0].astype(float)
    assert left.std() > 10
    assert abs(left - right).mean() > 1  # not the same image twice


def test_a_record_survives_its_document() -> None:
    record = DriftRecord(line=LINE, product=PRODUCT)
    assert DriftRecord.from_json(record.to_json()) == record
