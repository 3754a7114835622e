"""Faults, by name: each is injected, waits for its alerts, does what their pages say, and sees them end.

A play notes what it does and what the commands print. An alert that does not fire, or does not end, fails the play.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

import httpx

from siad.apps.client import IngestClient, ProblemError
from siad.contracts.codec import encode
from siad.contracts.errors import TransientError
from siad.contracts.keys import manifest_key
from siad.runtime.bus.open import open_bus
from siad.runtime.bus.settings import BusSettings
from tests.e2e.runbooks.stand import PRODUCT, Stand, png
from tests.synthetic import image_message, store_capture

STEADY: Final = "press"
CAMERAS: Final = ("cam-a", "cam-b", "cam-c", "cam-d")  # lines that are fed poison
POISON: Final = 25  # records; a line is in quarantine after fewer
SOON_S, LATER_S = 120.0, 420.0  # on a machine that other work uses too


@dataclass(frozen=True, slots=True)
class Play:
    """One fault, and the alerts whose pages it plays through."""

    fault: str  # in one sentence
    alerts: tuple[str, ...]
    run: Callable[[Stand], Awaitable[None]]


async def poisoned_line(stand: Stand) -> None:
    """Records of one line whose images are missing."""
    await _publish_poison(stand, CAMERAS[:1])
    await stand.expect("SiadLineQuarantined", SOON_S)
    await stand.expect("SiadDeadLetters", SOON_S)
    await stand.siad("dead-letters", "list", "--line", "cam-a")
    stand.note("the sender is repaired: a good image of the line every 5 s, until one is tried")
    repaired = asyncio.create_task(_every(stand, "cam-a", 5.0))
    try:
        await stand.cleared("SiadLineQuarantined", LATER_S)
    finally:
        repaired.cancel()
    await stand.siad("dead-letters", "replay", "--line", "cam-a", keep="sent")
    await stand.cleared("SiadDeadLetters", LATER_S)


async def stage_stopped(stand: Stand) -> None:
    """Records of several lines whose images are missing."""
    await _publish_poison(stand, CAMERAS[1:])
    await stand.expect("SiadStageStopped", SOON_S)
    await stand.siad("status", keep="inference")
    stand.note("good images of the other lines go on; the stage tries one record a minute")
    await stand.cleared("SiadStageStopped", LATER_S)
    await stand.siad("dead-letters", "list", "--stage", "inference")


async def uploads_refused(stand: Stand) -> None:
    """A camera whose files are cut short."""
    whole = png(stand.good(1)[0])
    async with asyncio.TaskGroup() as group:
        cutting = group.create_task(_cut_short(stand, whole[: len(whole) // 3]))
        await stand.expect("SiadUploadsRefused", SOON_S)
        stand.note("the transfer is repaired")
        cutting.cancel()
    await stand.cleared("SiadUploadsRefused", LATER_S)


async def inference_hangs(stand: Stand) -> None:
    """Inference hangs for over a minute, while images come."""
    pid = stand.stage_pid("inference")
    stand.freeze([pid])
    stand.note("kill -STOP (inference)")
    await stand.send(STEADY, stand.good(80))
    await stand.expect("SiadStageDown", SOON_S)
    await stand.siad("status", keep="inference")
    await stand.expect("SiadCapturesMissing", SOON_S)
    await asyncio.sleep(20)
    stand.kill([pid])
    stand.note("kill -KILL (inference); the supervisor starts it again")
    await stand.cleared("SiadStageDown", SOON_S)
    await stand.expect("SiadVerdictsLate", SOON_S)
    await stand.cleared("SiadCapturesMissing", LATER_S)
    await stand.siad("status", keep=STEADY)
    await stand.cleared("SiadVerdictsLate", LATER_S)


async def broker_hangs(stand: Stand) -> None:
    """The broker hangs, while eight cameras send."""
    pids = stand.node_pids("broker")
    sending = asyncio.gather(*(stand.send(STEADY, stand.good(20)) for _ in range(8)))
    await asyncio.sleep(2)
    stand.freeze(pids)
    stand.note("kill -STOP (broker)")
    try:
        await stand.expect("SiadStageBlocked", SOON_S)
        await stand.siad("doctor", keep="broker")
        await stand.expect("SiadUploadsFail", LATER_S)
        await stand.expect("SiadStateOld", SOON_S)
    finally:
        stand.thaw(pids)
        stand.note("kill -CONT (broker)")
    for name in ("SiadStageBlocked", "SiadUploadsFail", "SiadStateOld"):
        await stand.cleared(name, LATER_S)
    await sending
    stand.note("all 160 images of the eight cameras are accepted")


async def spool_fills(stand: Stand) -> None:
    """The broker hangs, while inference has images in hand."""
    pids = stand.node_pids("broker")
    sending = asyncio.gather(*(stand.send(STEADY, stand.good(15)) for _ in range(8)))
    await asyncio.sleep(1.5)
    stand.freeze(pids)
    stand.note("kill -STOP (broker), with images in hand; SIAD_INFERENCE_SPOOL_MAX=20")
    try:
        await stand.expect("SiadSpoolFilling", SOON_S)
    finally:
        stand.thaw(pids)
        stand.note("kill -CONT (broker)")
    await stand.cleared("SiadSpoolFilling", LATER_S)
    await sending


async def store_denies(stand: Stand) -> None:
    """The store was started again with another key."""
    keys = stand.machine.data / "store/keys.json"
    right = keys.read_text()
    keys.write_text(right.replace('"secret": "', '"secret": "0'))
    stand.kill(stand.node_pids("store"))
    stand.note("the store started again with another secret key: it denies access")
    try:
        await stand.expect("SiadStageBlocked", LATER_S)
        await stand.siad("doctor", keep="fault")
    finally:
        keys.write_text(right)
        stand.kill(stand.node_pids("store"))
        stand.note("the key is corrected on the store")
    await stand.cleared("SiadStageBlocked", LATER_S)


async def weights_damaged(stand: Stand) -> None:
    """A part of the teacher in service is damaged in the store and on the disk, and inference starts again."""
    async with httpx.AsyncClient(base_url=stand.machine.url("inference")) as http:
        serving = (await http.get("/v1/weights")).json()["weights"]
    weights = next(one["weights"] for one in serving if one["line"] == STEADY)
    blobs = stand.blobs()
    key = manifest_key(STEADY, PRODUCT, weights)
    before = blobs.get(key).data
    blobs.put(key, before[:-40])
    for copy in (stand.machine.data / "inference").rglob(f"*{weights}*"):
        copy.unlink()
    stand.kill([stand.stage_pid("inference")])
    stand.note(f"{key} cut short in the store, no copy on the disk, inference killed")
    await stand.expect("SiadWeightsRefused", LATER_S)
    await stand.siad("doctor", keep="fault")
    blobs.put(key, before)
    stand.note("the file restored from the backup")
    await stand.siad("doctor", keep="weights")
    stand.kill([stand.stage_pid("inference")])
    await stand.until_taught([STEADY], LATER_S)
    stand.note(f"inference started again: {STEADY} is judged by {weights[:12]}")
    await stand.cleared("SiadWeightsRefused", LATER_S)


async def _publish_poison(stand: Stand, lines: Sequence[str]) -> None:
    """Publish records of images that were deleted, by turns."""
    blobs = stand.blobs()
    bus = open_bus(BusSettings(bootstrap=stand.machine.env["SIAD_BUS_BOOTSTRAP"]))
    data = png(stand.good(1)[0])
    async with bus.producer() as producer:
        for number in range(POISON * len(lines)):
            line = lines[number % len(lines)]
            own = data + str(number).encode()  # equal images have one object, which the next record would restore
            stored = await asyncio.to_thread(store_capture, blobs, own, key=f"{line}-{number}", line=line)
            event = replace(stored, product=PRODUCT)
            blobs.delete(blobs.key_of(event.image_uri))
            message = image_message(event)
            assert message.value == encode(event)
            await producer.publish([message])
    stand.note(f"{POISON} records of each of {', '.join(lines)}, whose images were deleted from the store")


async def _every(stand: Stand, line: str, seconds: float) -> None:
    while True:
        await stand.send(line, stand.good(1))
        await asyncio.sleep(seconds)


async def _cut_short(stand: Stand, data: bytes) -> None:
    stand.note("a camera sends files that are cut short")
    async with IngestClient(stand.machine.url("ingest"), retry_for_s=5) as client:
        while True:
            with suppress(ProblemError, TransientError):
                await client.send_image(data, line=STEADY)
            await asyncio.sleep(0.5)


PLAYS: Final[Mapping[str, Play]] = {
    "uploads-refused": Play("A camera sends files that are cut short.", ("SiadUploadsRefused",), uploads_refused),
    "poisoned-line": Play(
        "The images of one line are deleted before they are judged.",
        ("SiadLineQuarantined", "SiadDeadLetters"),
        poisoned_line,
    ),
    "stage-stopped": Play(
        "The images of three lines are deleted before they are judged.", ("SiadStageStopped",), stage_stopped
    ),
    "inference-hangs": Play(
        "Inference hangs while 80 images come.",
        ("SiadStageDown", "SiadCapturesMissing", "SiadVerdictsLate"),
        inference_hangs,
    ),
    "broker-hangs": Play(
        "The broker hangs while eight cameras send.",
        ("SiadStageBlocked", "SiadUploadsFail", "SiadStateOld"),
        broker_hangs,
    ),
    "spool-fills": Play("The broker hangs, with images in hand.", ("SiadSpoolFilling",), spool_fills),
    "store-denies": Play("The store denies access.", ("SiadStageBlocked",), store_denies),
    "weights-damaged": Play(
        "The manifest of the teacher in service is damaged, and inference starts again.",
        ("SiadWeightsRefused",),
        weights_damaged,
    ),
}
