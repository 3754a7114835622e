"""The whole stage in one process: broker and store in memory, real weights, real HTTP."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest

from siad.contracts.documents import LineState, write_line
from siad.contracts.events import (
    Decision,
    Intent,
    SegmenterStatus,
    WeightsKind,
)
from siad.contracts.keys import part_key
from siad.contracts.topics import IMAGE, dead_letter
from siad.models.bundle import Bundle
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.bus.port import Message
from siad.vision.masks import decode_mask
from siad.vision.plausibility import profile_normals
from tests import synthetic
from tests.integration.inference_plant import S1, S1_ID, T1, T1_ID, T2, T2_ID, TOPICS, Plant
from tests.synthetic import image_message, part_image, png, store_capture


@pytest.fixture
async def plant() -> Plant:
    plant = Plant()
    await plant.bus.create_topics(TOPICS)
    await plant.make_line()
    return plant


async def test_defects_are_rejected_with_a_mask_and_good_parts_pass(plant: Plant) -> None:
    await plant.release(T1)
    async with plant.running():
        bad, good = await plant.capture(defect=True), await plant.capture()
        reject, passed = await plant.verdict(bad), await plant.verdict(good)
    assert (reject.decision, reject.weights, reject.weights_kind) == (Decision.REJECT, T1_ID, WeightsKind.TEACHER)
    assert reject.score >= reject.threshold == T1.manifest.image_threshold
    mask_HW = decode_mask(plant.blobs.get(plant.blobs.key_of(reject.mask_uri)).data)
    assert mask_HW.shape == (64, 64)
    assert sum(region.area_px for region in reject.regions) == np.count_nonzero(mask_HW)
    assert (passed.decision, passed.mask_uri) == (Decision.PASS, "")
    assert passed.score < passed.threshold


async def test_a_restart_waits_for_the_weights_that_exist_before_it_judges(plant: Plant) -> None:
    await plant.release(T1)
    captures = [await plant.capture() for _ in range(20)]
    async with plant.running():
        verdicts = [await plant.verdict(capture) for capture in captures]
    assert {verdict.decision for verdict in verdicts} == {Decision.PASS}


async def test_a_pointer_whose_event_never_came_is_found_in_the_store(plant: Plant) -> None:
    async with plant.running():
        first = await plant.verdict(await plant.capture())
        assert first.reason == "no-weights"
        synthetic.release(plant.blobs, T1)
        await plant.until_serving(T1_ID)
        assert (await plant.verdict(await plant.capture())).weights == T1_ID


async def test_a_segmenter_takes_over_and_a_refit_of_the_teacher_changes_nothing(plant: Plant) -> None:
    await plant.release(T1)
    async with plant.running():
        await plant.until_serving(T1_ID)
        await plant.release(S1)
        told = await plant.until_serving(S1_ID)
        (now,) = told["weights"]
        assert (now["kind"], now["previous"], now["swaps"], told["swaps"]) == ("segmenter", T1_ID, 1, 1)
        assert 0 < told["longest_pause_ms"] < 100
        await plant.release(T2)
        await asyncio.sleep(0.5)
        verdict = await plant.verdict(await plant.capture())
        assert (verdict.weights, verdict.weights_kind) == (S1_ID, WeightsKind.SEGMENTER)
        await plant.release(S1, status=SegmenterStatus.WITHDRAWN)
        await plant.until_serving(T2_ID)


async def test_weights_with_a_damaged_part_are_refused_and_the_old_ones_go_on(plant: Plant) -> None:
    await plant.release(T1)
    async with plant.running():
        await plant.until_serving(T1_ID)
        pointer = synthetic.release(MemoryBlobs(), S1)
        synthetic.release(plant.blobs, S1)
        damaged = S1.manifest.part("memory.safetensors")
        plant.blobs.put(part_key(damaged.sha256), b"x" * damaged.size_bytes)
        await plant.tell(pointer)
        async with asyncio.timeout(10):
            while 'load_failures_total{fate="refused",kind="segmenter",line="line-1"}' not in await metrics(plant):
                await asyncio.sleep(0.02)
        assert (await plant.verdict(await plant.capture())).weights == T1_ID


async def test_a_bundle_that_misses_its_golden_outputs_is_refused(plant: Plant) -> None:
    lying = Bundle(
        replace(
            T2.manifest, parts=tuple(T1.manifest.part(p.name) if "golden" in p.name else p for p in T2.manifest.parts)
        ),
        {**T2.parts, "golden.safetensors": T1.parts["golden.safetensors"]},
    )
    await plant.release(T1)
    async with plant.running():
        await plant.until_serving(T1_ID)
        await plant.release(lying)
        await asyncio.sleep(0.5)
        (now,) = (await plant.until_serving(T1_ID))["weights"]
        assert now["previous"] is None
        await plant.release(T2)
        await plant.until_serving(T2_ID)


@pytest.mark.parametrize(
    ("data", "changes"),
    [
        (b"this is no image at all", {}),
        (png(part_image(1))[:200], {}),
        (None, {"image_uri": "s3://siad/images/nowhere.png"}),
        (None, {"image_uri": "s3://another/images/x.png"}),
        (None, {"image_id": hashlib.sha256(b"other").hexdigest()}),
    ],
    ids=["no-image", "truncated", "missing", "foreign", "digest"],
)
async def test_a_capture_that_cannot_be_read_is_buried_and_answered(
    plant: Plant, data: bytes | None, changes: dict[str, Any]
) -> None:
    await plant.release(T1)
    async with plant.running():
        verdict = await plant.verdict(await plant.capture(data, **changes))
        after = await plant.verdict(await plant.capture())
    assert (verdict.decision, verdict.reason) == (Decision.UNKNOWN, "undecodable")
    assert after.decision is Decision.PASS
    assert len(plant.bus.records(dead_letter("inference").name)) == 1


async def test_a_message_that_is_no_event_is_buried_and_the_stream_goes_on(plant: Plant) -> None:
    await plant.release(T1)
    async with plant.running():
        await plant.send(Message(topic=IMAGE.name, key="line-1/0", value=b"\xff\xff"))
        assert (await plant.verdict(await plant.capture())).decision is Decision.PASS
    assert len(plant.bus.records(dead_letter("inference").name)) == 1


async def test_normals_get_no_verdict(plant: Plant) -> None:
    await plant.release(T1)
    async with plant.running():
        normal = await plant.capture(intent=Intent.NORMAL)
        for _ in range(4):
            await plant.verdict(await plant.capture())
    assert normal not in plant.verdicts()


async def test_the_deadline_is_that_of_the_revision_which_the_capture_names(plant: Plant) -> None:
    old = synthetic.settings(revision=1, deadline_s=0.0001)
    plant.blobs.put("lines/line-1/1.json", write_line(LineState(settings=old)))
    await plant.make_line(revision=2)
    await plant.release(T1)
    async with plant.running():
        late = await plant.verdict(await plant.capture(line_revision=1))
        in_time = await plant.verdict(await plant.capture(line_revision=2))
    assert (late.reason, in_time.reason) == ("late", "")


async def test_a_store_that_is_away_delays_verdicts_and_falsifies_none(plant: Plant) -> None:
    await plant.release(T1)
    async with plant.running():
        await plant.until_serving(T1_ID)
        captures = [await plant.capture() for _ in range(5)]
        plant.blobs.down = True
        captures += [await _send_while_down(plant) for _ in range(5)]
        await asyncio.sleep(0.3)
        assert (await plant.http.get("/readyz")).status_code == 503
        plant.blobs.down = False
        verdicts = [await plant.verdict(capture) for capture in captures]
    assert {verdict.decision for verdict in verdicts} == {Decision.PASS}


async def _send_while_down(plant: Plant) -> str:
    plant.blobs.down = False
    event = store_capture(plant.blobs, png(part_image(500 + plant.sent)), key=f"down-{plant.sent}")
    plant.blobs.down = True
    plant.sent += 1
    await plant.send(image_message(event))
    return event.capture_id


async def metrics(plant: Plant) -> str:
    return (await plant.http.get("/metrics")).text


async def test_verdicts_are_counted_once_the_broker_has_them(plant: Plant) -> None:
    await plant.release(T1)
    line = "line-9"
    await plant.make_line(line=line)
    async with plant.running():
        await plant.verdict(await plant.capture(line=line))
        text = await metrics(plant)
        assert 'siad_inference_verdicts_total{decision="no-weights",line="line-9"} 1.0' in text
        assert 'siad_inference_verdict_seconds_count{line="line-9"} 1.0' in text
        assert f'kind="teacher",line="line-1",product="cell",stage="inference",weights="{T1_ID}"}} 1.0' in text


async def inspect(plant: Plant, data: bytes, line: str = "line-1", **query: str) -> httpx.Response:
    return await plant.http.post(f"/v1/lines/{line}/inspect", content=data, params=query)


async def test_an_image_asked_for_over_http_is_judged_as_the_stream_would(plant: Plant) -> None:
    await plant.release(T1)
    data = png(part_image(77, defect=True))
    async with plant.running():
        streamed = await plant.verdict(await plant.capture(data))
        raw = await inspect(plant, data)
        form = await plant.http.post("/v1/lines/line-1/inspect", files={"image": ("a.png", data, "image/png")})
        text = await metrics(plant)
    told = raw.json()
    assert raw.status_code == form.status_code == 200
    assert (told["decision"], told["origin"], told["weights"]) == ("reject", "direct", T1_ID)
    assert (told["weights_kind"], told["line_revision"], told["product"]) == ("teacher", 1, "cell")
    assert told["score"] == form.json()["score"] == pytest.approx(streamed.score, rel=1e-5)
    assert [tuple(region["points"]) for region in told["regions"]] == [region.points for region in streamed.regions]
    assert len(plant.verdicts()) == 1
    assert 'siad_inference_direct_total{decision="reject",line="line-1"}' in text


async def test_a_sender_that_stalls_is_sent_away_and_blocks_no_other(plant: Plant) -> None:
    async def trickle() -> AsyncIterator[bytes]:
        yield b"half an image"
        await asyncio.sleep(5)

    await plant.release(T1)
    async with plant.running(direct_max=1, body_timeout_s=0.3):
        await plant.until_serving(T1_ID)
        stalled = asyncio.create_task(plant.http.post("/v1/lines/line-1/inspect", content=trickle()))
        await asyncio.sleep(0.05)
        assert (await inspect(plant, png(part_image(1)))).json()["decision"] == "pass"
        answer = await stalled
    assert (answer.status_code, answer.json()["type"]) == (408, "urn:siad:problem:too-slow")


async def test_what_cannot_be_judged_over_http_says_why(plant: Plant) -> None:
    good = png(part_image(1))
    async with plant.running(upload_max_bytes=20_000):
        nothing = await inspect(plant, good)
        assert (nothing.status_code, nothing.json()["reason"]) == (200, "no-weights")
        await plant.release(T1)
        await plant.until_serving(T1_ID)
        assert (await inspect(plant, good)).json()["decision"] == "pass"
        other = await inspect(plant, good, product="module")
        assert (other.json()["decision"], other.json()["reason"]) == ("unknown", "no-weights")
        answers = {
            "unknown-line": await inspect(plant, good, line="line-7"),
            "not-an-image": await inspect(plant, b"no image"),
            "truncated": await inspect(plant, good[:300]),
            "too-large": await inspect(plant, b"x" * 100_000),
            "no-image": await plant.http.post("/v1/lines/line-1/inspect", files={"picture": ("a", good)}),
            "invalid-product": await inspect(plant, good, product="A B"),
            "invalid-request": await inspect(plant, good, line="LINE"),
            "unknown-parameter": await inspect(plant, good, prodct="cell"),
            "repeated-parameter": await plant.http.post(
                "/v1/lines/line-1/inspect?product=cell", files={"image": ("a", good)}, data={"product": "module"}
            ),
        }
    statuses = {code: answer.status_code for code, answer in answers.items()}
    for code, answer in answers.items():
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["type"] == f"urn:siad:problem:{code}", answer.text
    assert statuses == {
        "unknown-line": 404,
        "not-an-image": 415,
        "truncated": 422,
        "too-large": 413,
        "no-image": 422,
        "invalid-product": 422,
        "invalid-request": 422,
        "unknown-parameter": 422,
        "repeated-parameter": 422,
    }


async def test_an_image_unlike_the_normals_is_unknown_in_the_stream_and_over_http(plant: Plant) -> None:
    large = np.zeros((192, 256, 1), np.uint8) + np.uint8(120)
    profiled = Bundle(replace(T1.manifest, profile=profile_normals([large], 8)), T1.parts)
    odd = {
        "size": png(np.zeros((1, 1, 1), np.uint8)),
        "channels": png(np.full((192, 256, 3), (0, 120, 250), np.uint8)),
        "depth": png(np.zeros((192, 256, 1), np.uint16)),
    }
    await plant.release(profiled)
    async with plant.running():
        streamed = {reason: await plant.verdict(await plant.capture(data)) for reason, data in odd.items()}
        direct = {reason: (await inspect(plant, data)).json() for reason, data in odd.items()}
        fitting = await plant.verdict(await plant.capture(png(large)))
        await plant.make_line(revision=2, sizes="any")
        async with asyncio.timeout(10):
            while (any_size := (await inspect(plant, odd["size"])).json())["decision"] == "unknown":
                await asyncio.sleep(0.02)
        text = await metrics(plant)
    assert {verdict.decision for verdict in streamed.values()} == {Decision.UNKNOWN}
    assert {reason: verdict.reason for reason, verdict in streamed.items()} == {reason: reason for reason in odd}
    assert streamed["size"].detail == "the image has 1x1 px, the normals have 256x192 px"
    assert fitting.decision in (Decision.PASS, Decision.REJECT)
    assert {reason: (told["decision"], told["reason"]) for reason, told in direct.items()} == {
        reason: ("unknown", reason) for reason in odd
    }
    assert direct["size"]["detail"] == streamed["size"].detail
    assert any_size["line_revision"] == 2
    for reason in odd:
        assert f'siad_inference_verdicts_total{{decision="{reason}",line="line-1"}} ' in text
    assert not plant.bus.records("siad.inference.dead-letter.v1")
