"""The console's page in Chromium, on a real console with the embedded bus and a real store."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import pytest

from siad.contracts import keys
from siad.contracts.access import Role
from siad.contracts.codec import encode
from siad.contracts.corrections import CaptureCorrected
from siad.contracts.documents import write_receipt
from siad.contracts.events import ImageStored, Intent
from siad.contracts.ids import CaptureId, WeightsId, image_id_of
from siad.contracts.topics import LINE, TOPICS, VERDICT
from siad.runtime.access.accounts import Accounts, new_account
from siad.runtime.blobs.s3 import S3Blobs
from siad.runtime.bus.open import open_bus
from siad.runtime.bus.port import Message
from siad.vision.mask_objects import Mask, draw_stroke, fill_ellipse, fill_polygon
from siad.vision.masks import decode_mask, encode_mask
from tests.e2e.harness import Plant, StageProcess
from tests.events import NOON, make_image_stored, make_line_changed
from tests.fixtures.browser import SCRIPT_S, run_script
from tests.fixtures.kafka import BusFile, quick_settings
from tests.fixtures.store import settings_of
from tests.unit.console.world import verdict

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("browser_and_page")]

LINE_NAME, PRODUCT = "press-1", "cap"
CAPTURE: Final = CaptureId("1" * 32)
WEIGHTS: Final = WeightsId("5e" * 32)
SIZE: Final = (48, 64)
PASSWORD: Final = "four random garden words"  # noqa: S105


@pytest.fixture
def blobs(store_env: Mapping[str, str]) -> S3Blobs:
    blobs = S3Blobs(settings_of(store_env))
    blobs.ensure_bucket()
    return blobs


@pytest.fixture
async def console(bus_file: BusFile, store_env: Mapping[str, str], tmp_path: Path) -> AsyncIterator[StageProcess]:
    stage = Plant(tmp_path, {"SIAD_BUS_BOOTSTRAP": bus_file.bootstrap, **store_env}).add("console")
    stage.start()
    await stage.wait_ready()
    yield stage
    await stage.stop()


def teachers_mask() -> Mask:
    """Two squares: one that the person deletes, one that they change."""
    mask_HW = np.zeros(SIZE, np.bool_)
    mask_HW[5:10, 5:10] = True
    mask_HW[15:30, 25:35] = True
    return mask_HW


def put_capture(blobs: S3Blobs, capture: CaptureId = CAPTURE) -> ImageStored:
    """Store an image with its receipt and the teacher's mask."""
    samples = np.random.default_rng(int(capture[0])).integers(0, 256, SIZE, np.uint8)
    data = bytes(cv2.imencode(".png", samples)[1])
    image_id = image_id_of(data)
    image_key = keys.image_key(LINE_NAME, NOON, image_id, "png")
    blobs.put(image_key, data)
    receipt = make_image_stored(
        capture_id=capture, image_id=image_id, image_uri=blobs.uri(image_key), size_bytes=len(data), line=LINE_NAME,
        product=PRODUCT, captured_at=NOON, received_at=NOON, intent=Intent.INSPECT, serial="n1",
    )  # fmt: skip
    blobs.put(keys.capture_key(LINE_NAME, capture), write_receipt(receipt))
    mask = encode_mask(np.where(teachers_mask(), 255, 0).astype(np.uint8))
    blobs.put(keys.verdict_mask_key(LINE_NAME, capture, WEIGHTS), mask)
    return receipt


def answers_of(blobs: S3Blobs, capture: str) -> list[CaptureCorrected]:
    """Every stored revision of a capture's answer, oldest first."""
    found = [
        CaptureCorrected.from_json(blobs.get(info.key).data)
        for info in blobs.list(keys.corrections_prefix(LINE_NAME, capture))
        if info.key.endswith(".json")
    ]
    return sorted(found, key=lambda one: one.revision)


async def publish(bus_file: BusFile, receipts: Sequence[ImageStored], blobs: S3Blobs) -> None:
    """Publish the line and the verdicts that make the console show the captures."""
    bus = open_bus(quick_settings(bus_file.bootstrap))
    await bus.create_topics(TOPICS)
    async with bus.producer() as producer:
        line = encode(make_line_changed(line=LINE_NAME, product=PRODUCT, classes=("scratch", "dent")))
        await producer.publish([Message(topic=LINE.name, key=LINE_NAME, value=line)])
        for receipt in receipts:
            event = verdict(
                1,
                score=2.1,
                capture_id=receipt.capture_id,
                image_id=receipt.image_id,
                image_uri=receipt.image_uri,
                mask_uri=blobs.uri(keys.verdict_mask_key(LINE_NAME, receipt.capture_id, WEIGHTS)),
            )
            await producer.publish([Message(topic=VERDICT.name, key=receipt.capture_id, value=encode(event))])


async def test_the_stored_mask_is_the_drawn_one(console: StageProcess, bus_file: BusFile, blobs: S3Blobs) -> None:
    await publish(bus_file, [put_capture(blobs)], blobs)
    drawn = run_script("first_correction.ts", console, LINE_NAME)
    record = CaptureCorrected.from_json(blobs.get(keys.correction_key(LINE_NAME, CAPTURE, 1)).data)
    assert (record.verdict, record.author, record.weights, record.selection) == ("defect", "ann", WEIGHTS, "random")
    stored = decode_mask(blobs.get(blobs.key_of(record.mask_uri)).data) == 255

    def stroke(name: str) -> Mask:
        points = [(2 * x + 1, 2 * y + 1) for x, y in drawn[name]]
        return draw_stroke(points, diameter_px=drawn["diameter"], size=SIZE)

    expected = teachers_mask()
    expected[5:10, 5:10] = False
    expected = ((expected | stroke("grow")) & ~stroke("cut")) | stroke("draw")
    assert np.array_equal(stored, expected), f"row, column: {np.argwhere(stored != expected).tolist()[:20]}"
    assert {(one.origin, one.fate, one.class_name) for one in record.objects} == {
        ("machine", "reshaped", ""),
        ("machine", "deleted", ""),
        ("person", "added", "dent"),
    }
    assert (record.keys, record.presses) == (drawn["keys"], drawn["presses"])
    assert 0 < record.active_s < SCRIPT_S


async def test_every_tool_draws_by_its_rule_also_by_keys_alone(
    console: StageProcess, bus_file: BusFile, blobs: S3Blobs
) -> None:
    await publish(bus_file, [put_capture(blobs)], blobs)
    drawn = run_script("every_tool.ts", console, LINE_NAME)
    record = CaptureCorrected.from_json(blobs.get(keys.correction_key(LINE_NAME, CAPTURE, 1)).data)
    stored = decode_mask(blobs.get(blobs.key_of(record.mask_uri)).data) == 255

    corners = {name: [(2 * x, 2 * y) for x, y in points] for name, points in drawn.items()}
    (x1, y1), (x2, y2) = corners["cut"]
    expected = fill_polygon(corners["polygon"], size=SIZE) | fill_ellipse(*corners["ellipse"], size=SIZE)
    expected &= ~fill_polygon([(x1, y1), (x2, y1), (x2, y2), (x1, y2)], size=SIZE)
    expected[4:11, 3:14] = True  # the rectangle
    expected[41, 10:15] = True  # the brush of one pixel, moved down by one
    expected[42, 14] = True
    assert np.array_equal(stored, expected), f"row, column: {np.argwhere(stored != expected).tolist()[:20]}"


async def test_nothing_is_lost_by_another_person_or_a_killed_console(
    console: StageProcess, bus_file: BusFile, blobs: S3Blobs
) -> None:
    receipts = [put_capture(blobs, CaptureId(digit * 32)) for digit in "123"]
    await publish(bus_file, receipts, blobs)
    running = asyncio.create_task(
        asyncio.to_thread(run_script, "two_people_and_an_outage.ts", console, LINE_NAME, str(console.pid))
    )
    while console.alive and not running.done():
        await asyncio.sleep(0.1)
    if not running.done():
        console.start()
    found = await running
    answers = {receipt.capture_id: answers_of(blobs, receipt.capture_id) for receipt in receipts}
    overtaken = [(one.author, one.verdict) for one in answers.pop(found["overtaken"])]
    assert overtaken == [("bob", "unsure"), ("ann", "good")]
    (interrupted,) = answers.pop(found["interrupted"])
    stored = decode_mask(blobs.get(blobs.key_of(interrupted.mask_uri)).data) == 255
    assert np.all(stored >= teachers_mask())
    assert np.count_nonzero(stored) > np.count_nonzero(teachers_mask())
    assert list(answers.values()) == [[]]


async def test_the_later_one_sees_both_versions_and_merges_them(
    console: StageProcess, bus_file: BusFile, blobs: S3Blobs, tmp_path: Path
) -> None:
    receipt = put_capture(blobs)
    await publish(bus_file, [receipt], blobs)
    normal = replace(receipt, capture_id=CaptureId("9" * 32), intent=Intent.NORMAL)  # of the same image
    blobs.put(keys.capture_key(LINE_NAME, normal.capture_id), write_receipt(normal))
    blobs.put(keys.normal_key(LINE_NAME, PRODUCT, normal.capture_id), write_receipt(normal))
    other = np.zeros(SIZE, np.bool_)
    other[5:10, 5:10] = True  # also of the teacher
    other[20:24, 2:8] = True
    mask = tmp_path / "other.png"
    mask.write_bytes(encode_mask(np.where(other, 255, 0).astype(np.uint8)))
    pictures = filter(None, [os.environ.get("SIAD_PICTURES")])
    found = run_script("two_versions.ts", console, LINE_NAME, str(mask), *pictures)
    first, second = answers_of(blobs, found["capture"])
    assert [(one.author, one.verdict) for one in (first, second)] == [("bob", "defect"), ("ann", "defect")]
    stored = decode_mask(blobs.get(blobs.key_of(second.mask_uri)).data) == 255
    assert np.all(stored >= (teachers_mask() | other))
    assert np.count_nonzero(stored) > np.count_nonzero(teachers_mask() | other)  # and the stroke


async def test_bulk_answers_are_stored_and_undone(console: StageProcess, bus_file: BusFile, blobs: S3Blobs) -> None:
    await publish(bus_file, [put_capture(blobs, CaptureId(digit * 32)) for digit in "123"], blobs)
    found = run_script("queue.ts", console, LINE_NAME, *filter(None, [os.environ.get("SIAD_PICTURES")]))
    first, second = (answers_of(blobs, capture) for capture in found["captures"])
    assert [(one.author, one.verdict) for one in first] == [("ann", "defect"), ("ann", "unsure")]
    assert [one.verdict for one in second] == ["defect", "good", "defect", "unsure"]
    for accepted in (first[0], second[0], second[2]):
        stored = decode_mask(blobs.get(blobs.key_of(accepted.mask_uri)).data) == 255
        assert np.array_equal(stored, teachers_mask())
        assert [one.fate for one in accepted.objects] == ["kept", "kept"]
    assert [one.fate for one in second[1].objects] == ["deleted", "deleted"]
    for answers in (first, second):
        assert {one.selection for one in answers} <= {answers[0].selection} <= {"nearest", "random"}


async def test_what_is_put_off_is_shown_with_its_reason(
    console: StageProcess, bus_file: BusFile, blobs: S3Blobs
) -> None:
    await publish(bus_file, [put_capture(blobs, CaptureId(digit * 32)) for digit in "123"], blobs)
    found = run_script("put_off.ts", console, LINE_NAME, *filter(None, [os.environ.get("SIAD_PICTURES")]))
    assert [answers_of(blobs, capture) for capture in found["captures"]] == [[], []], "no deferral is an answer"


async def test_a_session_that_ends_loses_no_drawing(console: StageProcess, bus_file: BusFile, blobs: S3Blobs) -> None:
    await publish(bus_file, [put_capture(blobs)], blobs)
    Accounts(blobs).create(new_account("pat", PASSWORD, {LINE_NAME: Role.ANNOTATOR}, now=datetime.now(UTC)))
    run_script("sign_in.ts", console, LINE_NAME, PASSWORD, *filter(None, [os.environ.get("SIAD_PICTURES")]))
    (answer,) = answers_of(blobs, CAPTURE)
    assert (answer.author, answer.verdict) == ("pat", "defect")
    assert [one.fate.value for one in answer.objects].count("added") == 1
