"""Every process is killed at random moments while captures stream: none is lost, duplicated, invented or stuck.

``make test`` runs the short version and ``make chaos`` the long one. The seed is fixed, printed, and set by
SIAD_CHAOS_SEED; who is hit when follows from it alone (``schedule.py``).
"""

import asyncio
import logging
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from services.trainer.adapters.ledger import ParquetLedger
from siad.apps.client import IngestClient
from siad.contracts.codec import decode
from siad.contracts.errors import MissingError
from siad.contracts.events import DeadLetter, ImageStored, PseudoMaskCreated, VerdictGiven, WeightsKind
from siad.contracts.ids import sha256_hex
from siad.contracts.place import Place
from siad.contracts.topics import IMAGE, PSEUDO_MASK, VERDICT, dead_letter
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.open import open_blobs
from siad.runtime.bus.kafka.bus import KafkaBus
from tests.e2e.chaos.audit import Account, faults, repeats
from tests.e2e.chaos.cameras import PATIENCE_S, Cameras
from tests.e2e.chaos.report import Report, markdown, percentile, printed
from tests.e2e.chaos.schedule import AFTER_SWAP, Blow, Scale, schedule, told_scale, told_seed
from tests.e2e.chaos.site import Recovery, Site
from tests.e2e.chaos.topics import read_whole
from tests.e2e.conftest import NORMALS
from tests.e2e.harness import wait_for
from tests.e2e.line import BURIED, Watch, lag_of, until_no_lag, watching
from tests.fixtures.kafka import quick_settings, require_kafka
from tests.fixtures.store import settings_of
from tests.synthetic import PRODUCT

SCALE, SEED = told_scale(), told_seed()
# From the last capture handed over to nothing left to do, on a busy machine.
SETTLE_S = 150.0 + SCALE.stream_s + AFTER_SWAP.stream_s * SCALE.trains
BOOKS_S = 90.0  # who keeps them may have been killed, and its lease has to run out
IN_HAND_MAX = 64  # captures that one blow can catch handled, perhaps published, and not committed
TRICKLE_PER_S = 4.0
SWAP_S = 600.0  # the audit reports that no segmenter took over by then
INPUT_PX = 128  # a ninth of the usual work: delivery is tested, and two cores do everything
READERS = {"labeler": IMAGE, "inference": IMAGE, "trainer": PSEUDO_MASK}

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.timeout(600 + 5 * SCALE.stream_s + (SWAP_S + 5 * AFTER_SWAP.stream_s) * SCALE.trains),
]


async def test_no_kill_loses_doubles_or_stops_anything(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    require_kafka()
    caplog.set_level(logging.CRITICAL, logger="aiokafka")  # it says a thousand times that the broker is away
    blows = schedule(SEED, SCALE)
    tell(printed(SEED, blows))
    async with Site(tmp_path, trains=SCALE.trains).running() as site:
        bus = KafkaBus(quick_settings(site.bootstrap))
        url = site.plant["ingest"].url
        async with IngestClient(url, retry_for_s=PATIENCE_S) as client, watching(bus, group="watch") as watch:
            cameras = Cameras(client, "press-1", SCALE.parts, INPUT_PX)
            await teach(site, cameras)
            early = frozenset(cameras.inspected)
            began_s = time.monotonic()
            recoveries = await stream_under(blows, site, cameras, watch)
            tell(markdown(recoveries))
            if SCALE.trains:
                await stream_until_swap(cameras, watch)
                late = schedule(SEED, AFTER_SWAP)
                tell(printed(SEED, late))
                since_s = time.monotonic() - began_s
                more = await stream_under(late, site, cameras, watch, scale=AFTER_SWAP)
                recoveries += [replace(one, at_s=round(one.at_s + since_s, 1)) for one in more]
                blows += late
            found = await settle(site, cameras, watch)
            account = await take_account(site, cameras, early, repeats_max=IN_HAND_MAX * len(blows))
            found += faults(account) + await books_apart(site, account) + await unwell(site, recoveries)
    report = Report(
        seed=SEED,
        scale=SCALE,
        blows=blows,
        recoveries=recoveries,
        counts=counts_of(account, site),
        seconds=seconds_of(account, cameras),
        load=" ".join(f"{load:.1f}" for load in os.getloadavg()),
        faults=found,
    )
    tell(f"{report}\nwritten to {report.write()}")
    assert found == [], f"{printed(SEED, blows)}\n{report}"


def tell(text: str) -> None:
    """Print at once, for ``pytest -s``."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def teach(site: Site, cameras: Cameras) -> None:
    """Register the line and have a teacher fitted, while captures arrive before any weights serve."""
    teaching = asyncio.Event()
    await cameras.register()
    async with asyncio.TaskGroup() as group:
        group.create_task(cameras.trickle(per_s=TRICKLE_PER_S, until=teaching.is_set))
        await wait_for(lambda: _true(len(cameras.inspected) >= SCALE.early), 60, "captures before the teacher")
        await cameras.send_normals(NORMALS)

        async def serves() -> bool:
            return bool((await site.plant["inference"].get("/v1/weights")).json()["weights"])

        await wait_for(serves, 180, "a teacher in service", on_fail=site.plant["labeler"].tail)
        teaching.set()


async def stream_under(
    blows: tuple[Blow, ...], site: Site, cameras: Cameras, watch: Watch, *, scale: Scale = SCALE
) -> list[Recovery]:
    """Stream captures during the kills."""
    began_s = time.monotonic()

    def progress(victim: str, since_s: float) -> bool:
        if victim == "ingest":
            return any(when > since_s for when in reversed(cameras.accepted_s[-50:]))
        topic = PSEUDO_MASK if victim in ("labeler", "scorer", "ray") else VERDICT
        return victim != "trainer" and watch.arrived_s.get(topic.name, 0.0) > since_s

    async def fall(blow: Blow) -> Recovery:
        await asyncio.sleep(max(0.0, began_s + blow.at_s - time.monotonic()))
        return await site.strike(blow, began_s=began_s, progress=lambda since_s: progress(blow.victim, since_s))

    streaming = asyncio.create_task(cameras.stream(scale.captures, per_s=scale.per_s))
    try:
        recoveries = await asyncio.gather(*(fall(blow) for blow in blows))
        await streaming
    finally:
        streaming.cancel()
    return list(recoveries)


async def stream_until_swap(cameras: Cameras, watch: Watch) -> None:
    """Stream on until a segmenter has judged; a slow machine trains longer than the stream of kills lasts."""
    until_s = time.monotonic() + SWAP_S

    def is_over() -> bool:
        swapped = any(verdict.weights_kind is WeightsKind.SEGMENTER for verdict in watch.verdicts)
        return swapped or time.monotonic() > until_s

    await cameras.trickle(per_s=TRICKLE_PER_S, until=is_over)


async def settle(site: Site, cameras: Cameras, watch: Watch) -> list[str]:
    """Wait until all work is done; after the timeout, return what is left."""
    line, stuck = cameras.line, []
    waits = [
        watch.until(lambda: cameras.inspected <= watch.judged(line).keys(), "every verdict", timeout_s=SETTLE_S),
        watch.until(lambda: cameras.inspected <= watch.labelled(line).keys(), "every mask", timeout_s=SETTLE_S),
        *(
            until_no_lag(site.bootstrap, f"siad.{stage}", topic.name, timeout_s=SETTLE_S)
            for stage, topic in READERS.items()
        ),
    ]
    for one in waits:
        try:
            await one
        except AssertionError as error:
            stuck.append(f"stuck: {error}")
    return stuck


async def take_account(site: Site, cameras: Cameras, early: frozenset[str], *, repeats_max: int) -> Account:
    """Read everything again from the topics and the store."""
    blobs = AsyncBlobs(open_blobs(settings_of(site.store_env)))
    masks = await read_whole(site.bootstrap, PSEUDO_MASK.name, PseudoMaskCreated)
    by_stage = {topic: await read_whole(site.bootstrap, topic, DeadLetter) for topic in BURIED}
    ofs_inference = by_stage[dead_letter("inference").name]
    files = await ParquetLedger(blobs).read(Place(cameras.line, PRODUCT))
    account = Account(
        accepted=cameras.inspected,
        early=early,
        images=await read_whole(site.bootstrap, IMAGE.name, ImageStored),
        verdicts=await read_whole(site.bootstrap, VERDICT.name, VerdictGiven),
        masks=masks,
        letters=tuple(letter for letters in by_stage.values() for letter in letters),
        buried={decode(ImageStored, letter.payload).capture_id for letter in ofs_inference},
        ledger={row.capture_id for file in files for row in file.rows},
        broken=await broken_masks(blobs, masks),
        waiting=await lag_of(site.bootstrap, "siad.inference", IMAGE.name),
        repeats_max=repeats_max,
        swap_expected=SCALE.trains,
    )
    blobs.close()
    return account


async def broken_masks(blobs: AsyncBlobs, masks: tuple[PseudoMaskCreated, ...]) -> dict[str, str]:
    """Captures whose mask in the store differs from its event."""
    found: dict[str, str] = {}
    turns = asyncio.Semaphore(16)

    async def check(mask: PseudoMaskCreated) -> None:
        async with turns:
            try:
                blob = await blobs.get(blobs.blobs.key_of(mask.mask_uri))
            except MissingError:
                found[mask.capture_id] = "missing"
                return
        if sha256_hex(blob.data) != mask.mask_sha256:
            found[mask.capture_id] = "other bytes"

    await asyncio.gather(*(check(mask) for mask in masks))
    return found


async def books_apart(site: Site, account: Account) -> list[str]:
    """Differences between the capture ledger of ingest (/v1/books) and this audit."""
    ours = {
        "received": len(account.received),
        "verdict": len({verdict.capture_id for verdict in account.verdicts}),
        "waiting": account.waiting,
        "dead_letter": len(account.buried - {verdict.capture_id for verdict in account.verdicts}),
    }
    theirs: dict[str, int] = {}

    async def agree() -> bool:
        pages = (await site.plant["ingest"].get("/v1/books")).json()["lines"]
        theirs.update({name: page[name] for page in pages for name in ours})
        return theirs == ours

    try:
        await wait_for(agree, BOOKS_S, "the capture ledger of ingest")
    except AssertionError:
        return [f"ingest's capture ledger says {theirs}, the topics say {ours}"]
    return []


async def unwell(site: Site, recoveries: list[Recovery]) -> list[str]:
    """Processes that did not recover, are not ready, or ended unexpectedly."""
    late = [one for one in recoveries if one.ready_s is None or one.progress_s is None]
    falls = [one for one in site.falls if one.name != "scorer"]  # it ends when its Ray is gone, to be deployed anew
    return [
        *(f"{one.victim}, killed at {one.at_s:g} s, never came back: {one}" for one in late),
        *(f"{name} is not well at the end; its log ends:\n{tail}" for name, tail in (await site.not_well()).items()),
        *(f"{one.name} ended by itself with {one.code}; its log ended:\n{one.tail}" for one in falls),
    ]


def counts_of(account: Account, site: Site) -> dict[str, int]:
    """Counts for the report."""
    return {
        "received": len(account.received),
        "verdicts": len({verdict.capture_id for verdict in account.verdicts}),
        "waiting": account.waiting,
        "dead letters": len(account.letters),
        "pseudo-masks": len({mask.capture_id for mask in account.masks}),
        "of the backfill": len(account.early),
        "in the ledger": len(account.ledger),
        "repeated verdicts": repeats(verdict.capture_id for verdict in account.verdicts),
        "repeated pseudo-masks": repeats(f"{mask.capture_id} {mask.weights}" for mask in account.masks),
        "repeated announcements": repeats(image.capture_id for image in account.images),
        "by the segmenter": account.by_segmenter,
        "ends of the scorer": sum(fall.name == "scorer" for fall in site.falls),
    }


def seconds_of(account: Account, cameras: Cameras) -> dict[str, float]:
    """Seconds from exposure to acceptance, and from there to the verdict."""
    waits = [(verdict.judged_at - verdict.received_at).total_seconds() for verdict in account.verdicts]
    return {
        "to be accepted, median": percentile(cameras.seconds, 0.5),
        "to be accepted, longest": percentile(cameras.seconds, 1.0),
        "to a verdict, median": percentile(waits, 0.5),
        "to a verdict, p95": percentile(waits, 0.95),
        "to a verdict, longest": percentile(waits, 1.0),
    }


async def _true(value: bool) -> bool:
    return value
