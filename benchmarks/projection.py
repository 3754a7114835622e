"""Time of the console's lists over a million captures.

Made-up verdicts and answers of one line; nothing of the bus or the store is part of it. Takes some minutes, most of
them to fill the database.

    python -m benchmarks.projection --captures 1000000
    python -m benchmarks.projection --captures 1000000 --url postgresql://postgres@127.0.0.1/siad
"""

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from services.console.adapters.projection.database import Database
from services.console.adapters.projection.store import SqlProjection
from services.console.domain.listing import (
    CaptureDecision,
    CaptureFilter,
    CapturePage,
    CaptureState,
    PageOrder,
    PageRequest,
)
from services.console.ports import TopicBatch, TopicRecord
from siad.contracts.corrections import CaptureCorrected, CorrectionVerdict, Selection
from siad.contracts.events import Decision, Origin, VerdictGiven, WeightsKind
from siad.contracts.ids import CaptureId, ImageId, WeightsId
from siad.contracts.marked_objects import MarkedObject, ObjectFate, ObjectOrigin
from siad.contracts.topics import CORRECTION, VERDICT

LINE, START = "press-1", datetime(2026, 1, 1, tzinfo=UTC)
BATCH: Final = 5000
ANSWERED_EVERY: Final = 50
REPEATS: Final = 20
PAGE: Final = 50
FILTERS: Final = {
    "newest": CaptureFilter(),
    "product": CaptureFilter(product="lid"),
    "a day": CaptureFilter(received_from=START + timedelta(days=3), received_before=START + timedelta(days=4)),
    "serial": CaptureFilter(serial="s4711"),
    "no such serial": CaptureFilter(serial="none"),
    "rejects": CaptureFilter(decision=CaptureDecision.REJECT),
    "open": CaptureFilter(state=CaptureState.OPEN),
    "skipped": CaptureFilter(state=CaptureState.SKIPPED),
    "defects": CaptureFilter(verdict=CorrectionVerdict.DEFECT),
    "person": CaptureFilter(person="ann"),
    "class": CaptureFilter(class_name="scratch"),
    "no such class": CaptureFilter(class_name="none"),
    "score": CaptureFilter(score_min=1.9, score_max=2.1),
    "no such score": CaptureFilter(score_min=99.0),
    "person, rejects, no such score": CaptureFilter(
        person="ann", decision=CaptureDecision.REJECT, score_min=99.0, product="lid"
    ),
}


def main() -> None:
    """Fill a database, and print the time of each list."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--captures", type=int, default=1_000_000)
    parser.add_argument("--url", default="", help="PostgreSQL; left out: SQLite in a temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = options.url or f"sqlite:///{folder}/projection.sqlite"
        asyncio.run(_run(url, options.captures))
        if not options.url:
            print(f"file: {(Path(folder) / 'projection.sqlite').stat().st_size / 2**20:,.0f} MiB")


async def _run(url: str, captures: int) -> None:
    database = Database(url)
    await database.prepare()
    projection = SqlProjection(database)
    started_s = time.perf_counter()
    for first in range(0, captures, BATCH):
        verdicts = [_verdict(number) for number in range(first, min(first + BATCH, captures))]
        answers = [_answer(one) for one in verdicts[::ANSWERED_EVERY]]
        topics: list[tuple[str, Sequence[VerdictGiven | CaptureCorrected]]]
        topics = [(VERDICT.name, verdicts), (CORRECTION.name, answers)]
        for topic, events in topics:
            offset = (await projection.positions(topic)).get(0, 0)
            await projection.apply(TopicBatch(topic, [TopicRecord(0, offset + n, one) for n, one in enumerate(events)]))
    print(f"{captures:,} captures applied at {captures / (time.perf_counter() - started_s):,.0f} a second")
    for order in PageOrder:
        for name, wanted in FILTERS.items():
            request = PageRequest(line=LINE, filter=wanted, order=order, limit=PAGE)
            shown, page = await _measure(projection, request)
            deep = await _go_down(projection, replace(request, after=page.next)) if page.next else request
            later, _ = await _measure(projection, deep)
            print(f"{order.value:7} {name:32} first page {shown}, later {later}", flush=True)
    database.close()


async def _go_down(projection: SqlProjection, request: PageRequest) -> PageRequest:
    for _ in range(20):
        page = await projection.page(request)
        if page.next is None:
            return request
        request = replace(request, after=page.next)
    return request


async def _measure(projection: SqlProjection, request: PageRequest) -> tuple[str, CapturePage]:
    """Median, slowest and processor time of the repeats, and the page."""
    taken_ms, used_ms = [], []
    for _ in range(REPEATS):
        began_s, used_s = time.perf_counter(), time.process_time()
        page = await projection.page(request)
        used_ms.append((time.process_time() - used_s) * 1e3)
        taken_ms.append((time.perf_counter() - began_s) * 1e3)
    took = f"{statistics.median(taken_ms):6.1f} ms (at most {max(taken_ms):6.1f}"
    return f"{took}, processor {statistics.median(used_ms):5.1f})", page


def _verdict(number: int) -> VerdictGiven:
    draw = random.Random(number)  # noqa: S311 - no secret
    at, score = START + timedelta(seconds=number), draw.lognormvariate(0, 0.35)
    return VerdictGiven(
        capture_id=CaptureId(f"{draw.getrandbits(128):032x}"), image_id=ImageId(f"{draw.getrandbits(256):064x}"),
        image_uri=f"s3://siad/images/{LINE}/2026-01-01/{number:064x}.png", line=LINE,
        product="lid" if number % 3 == 0 else "cap", line_revision=1, captured_at=at, received_at=at,
        serial=f"s{number // 2}", decision=Decision.REJECT if score >= 2 else Decision.PASS, reason="", score=score,
        threshold=2.0, regions=(), mask_uri="", weights=WeightsId("5e" * 32), weights_kind=WeightsKind.TEACHER,
        origin=Origin.STREAM, judged_at=at, wait_s=0.0, fetch_s=0.0, score_s=0.0,
    )  # fmt: skip


def _answer(event: VerdictGiven) -> CaptureCorrected:
    draw = random.Random(event.capture_id)  # noqa: S311 - no secret
    said = draw.choice(list(CorrectionVerdict)[1:])
    return CaptureCorrected(
        capture_id=event.capture_id, image_id=event.image_id, image_uri=event.image_uri, line=LINE,
        product=event.product, serial=event.serial, captured_at=event.captured_at, received_at=event.received_at,
        revision=1, verdict=said, objects=_marks(said, draw), mask_uri="", mask_sha256="",
        weights=event.weights, score=event.score, threshold=2.0, author=draw.choice(["ann", "bob", "cem"]),
        corrected_at=event.judged_at, selection=Selection.NEAREST,
    )  # fmt: skip


def _marks(said: CorrectionVerdict, draw: random.Random) -> tuple[MarkedObject, ...]:
    if said is not CorrectionVerdict.DEFECT:
        return ()
    name = draw.choice(["scratch", "dent", "stain"])
    place = {"x": 0, "y": 0, "width": 9, "height": 9, "area_px": 40}
    return (MarkedObject(**place, origin=ObjectOrigin.PERSON, fate=ObjectFate.ADDED, class_name=name),)


if __name__ == "__main__":
    main()
