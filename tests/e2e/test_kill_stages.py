"""A stage killed mid-stream and restarted: every capture gets its verdict and its pseudo-mask."""

import asyncio
from collections.abc import Callable

import pytest

from siad.contracts.events import Decision, VerdictGiven
from siad.contracts.ids import sha256_hex
from siad.contracts.topics import IMAGE
from tests.e2e.conftest import Loop
from tests.e2e.line import until_no_lag

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

CAPTURES = 120
PER_S = 15.0  # more than is done meanwhile, so that the victim dies with its hands full
KILL_AFTER = 30  # captures that the victim must have done before it dies
WAITING_MAX = 60  # captures sent and not yet done by the victim; a slow machine must not be swamped
IN_FLIGHT_MAX = 64  # so many may be done twice: handled, perhaps published, not committed


@pytest.mark.parametrize("victim", ["inference", "labeler"])
async def test_nothing_is_lost_and_nothing_stuck_when_a_stage_is_killed(loop: Loop, victim: str) -> None:
    line, watch, before = loop.camera.line, loop.watch, len(loop.camera.inspected)
    done = {"inference": watch.judged, "labeler": watch.labelled}[victim]

    def has_room() -> bool:
        return len(loop.camera.inspected) - len(done(line)) < WAITING_MAX

    sending = asyncio.create_task(loop.camera.send(CAPTURES, per_s=PER_S, has_room=has_room))
    await watch.until(more_than(before + KILL_AFTER, lambda: len(done(line))), f"{victim} to be in mid-stream")
    loop.plant[victim].kill()
    assert not sending.done()
    await asyncio.sleep(2)  # captures pile up meanwhile
    loop.plant[victim].start()
    await sending
    await loop.plant[victim].wait_ready()

    sent = loop.camera.inspected.keys()
    assert len(sent) == before + CAPTURES
    await watch.until(lambda: sent <= watch.judged(line).keys(), "every capture to have its verdict")
    await watch.until(lambda: sent <= watch.labelled(line).keys(), "every capture to have its pseudo-mask")
    for stage in ("inference", "labeler"):
        await until_no_lag(loop.bootstrap, f"siad.{stage}", IMAGE.name)
    check_verdicts(loop)
    await check_pseudo_masks(loop)
    assert watch.dead_letters == []
    assert loop.plant[victim].starts > 1


def check_verdicts(loop: Loop) -> None:
    """One for each capture; repeats are equal and few."""
    verdicts = [verdict for verdict in loop.watch.verdicts if verdict.line == loop.camera.line]
    first: dict[str, VerdictGiven] = {verdict.capture_id: verdict for verdict in reversed(verdicts)}
    assert first.keys() == loop.camera.inspected.keys()
    assert len(verdicts) - len(first) <= IN_FLIGHT_MAX
    assert {verdict.decision for verdict in first.values()} == {Decision.PASS, Decision.REJECT}
    assert all(verdict.decision is first[verdict.capture_id].decision for verdict in verdicts)
    found = [first[capture].decision is Decision.REJECT for capture, defect in loop.camera.inspected.items() if defect]
    assert sum(found) >= 0.9 * len(found)  # the blobs are easy; how good a teacher is, is told elsewhere


async def check_pseudo_masks(loop: Loop) -> None:
    """One for each capture after deduplication, and its file matches the event."""
    masks = [mask for mask in loop.watch.pseudo_masks if mask.line == loop.camera.line]
    first = {(mask.capture_id, mask.weights): mask for mask in reversed(masks)}
    inspected = {key: mask for key, mask in first.items() if mask.capture_id in loop.camera.inspected}
    assert len(inspected) == len(loop.camera.inspected)
    assert len(masks) - len(first) <= IN_FLIGHT_MAX
    for mask in inspected.values():
        blob = await asyncio.to_thread(loop.blobs.get, loop.blobs.key_of(mask.mask_uri))
        assert sha256_hex(blob.data) == mask.mask_sha256


def more_than(count: int, now: Callable[[], int]) -> Callable[[], bool]:
    """Whether ``now`` exceeds ``count``."""
    return lambda: now() > count
