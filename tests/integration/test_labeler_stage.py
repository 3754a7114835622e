"""The whole stage in one process: broker and store in memory, real HTTP, and a scorer that only pretends to compute."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx
import uvicorn
from fastapi import FastAPI, Request, Response
from prometheus_client import REGISTRY

from services.labeler.app import assemble
from services.labeler.settings import LabelerSettings
from siad.apps.local.ports import free_ports
from siad.contracts.codec import decode, encode
from siad.contracts.events import (
    DeadLetter,
    ImageStored,
    Intent,
    PseudoMaskCreated,
    SegmenterReleased,
    SegmenterStatus,
    TeacherReleased,
    VerdictGiven,
    WeightsKind,
)
from siad.contracts.keys import backfill_key, manifest_key
from siad.contracts.labelling import is_drawn
from siad.contracts.topics import IMAGE, PSEUDO_MASK, SEGMENTER, TEACHER, VERDICT, Topic, dead_letter
from siad.runtime.bus.memory import MemoryBus
from siad.runtime.bus.port import Message
from siad.runtime.worker import StageProcess, serve
from tests.events import NOON
from tests.manifests import make_manifest
from tests.unit.apps.cli.events import verdict
from tests.unit.labeler.world import LINE, PRODUCT, World, capture

NORMALS = 12  # ten teach
BURIED = dead_letter("labeler").name


@asynccontextmanager
async def scorer(world: World, port: int) -> AsyncIterator[None]:
    """What the labeler's Serve application answers, on a real socket."""
    app = FastAPI()

    @app.get("/healthz")
    async def healthz() -> str:
        return "ok"

    @app.post("/{path}")
    async def answer(path: str, request: Request) -> Response:
        url = f"http://scorer/{path}"
        said = await world.serve(httpx.Request("POST", url, content=await request.body()))
        return Response(said.content, said.status_code, media_type="application/json")

    server = uvicorn.Server(uvicorn.Config(app, port=port, lifespan="off", log_config=None))
    serving = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    try:
        yield
    finally:
        server.should_exit = True
        await serving


@asynccontextmanager
async def labeler(world: World, bus: MemoryBus, port: int) -> AsyncIterator[StageProcess]:
    """The stage, until it has ended in good order."""
    url = f"http://127.0.0.1:{port}"
    settings = LabelerSettings.model_validate(
        {"http_port": 0, "scorer_url": url, "plan_every_s": 0.1, "drain_s": 2, "probe_every_s": 0.1}
    )
    stage = StageProcess("labeler", settings)
    serving = asyncio.create_task(
        serve(stage, lambda stage: assemble(stage, settings, bus=bus, blobs=world.blobs)), name="labeler"
    )
    await until(lambda: stage.port is not None or serving.done())
    try:
        yield stage
    finally:
        stage.stop.set()
        await serving


async def until(there: Callable[[], bool], *, seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not there():
            await asyncio.sleep(0.02)


async def plant() -> tuple[World, MemoryBus, int]:
    bus = MemoryBus(partitions=2)
    await bus.create_topics([IMAGE, PSEUDO_MASK, TEACHER, SEGMENTER, VERDICT, dead_letter("labeler")])
    return World(), bus, free_ports(1)[0]


async def send(world: World, bus: MemoryBus, *events: ImageStored) -> None:
    """As ingest does: the receipt first, then the event."""
    for event in events:
        world.add(event)
    messages = [
        Message(topic=IMAGE.name, key=f"{LINE}/{number % 4}", value=encode(e)) for number, e in enumerate(events)
    ]
    async with bus.producer() as producer:
        await producer.publish(messages)


def normals() -> list[ImageStored]:
    return [capture(number, intent=Intent.NORMAL, minutes=-60 + number) for number in range(NORMALS)]


def masks(bus: MemoryBus) -> list[PseudoMaskCreated]:
    return [decode(PseudoMaskCreated, record.value) for record in bus.records(PSEUDO_MASK.name)]


def labelled(bus: MemoryBus) -> set[str]:
    return {mask.capture_id for mask in masks(bus)}


def teachers(bus: MemoryBus) -> list[TeacherReleased]:
    return [decode(TeacherReleased, record.value) for record in bus.records(TEACHER.name)]


async def test_normals_make_a_teacher_and_every_capture_gets_its_pseudo_mask() -> None:
    world, bus, port = await plant()
    early = [capture(100 + number, minutes=-30 + number) for number in range(5)]
    late = [capture(200 + number, minutes=number) for number in range(20)]
    async with scorer(world, port), labeler(world, bus, port) as stage, httpx.AsyncClient() as http:
        await send(world, bus, *early)  # before there is a teacher
        await send(world, bus, *normals())
        await until(lambda: bool(teachers(bus)))
        await send(world, bus, *late)
        await until(lambda: labelled(bus) >= {event.capture_id for event in [*early, *late]})
        ready = await http.get(f"http://127.0.0.1:{stage.port}/readyz")
        text = (await http.get(f"http://127.0.0.1:{stage.port}/metrics")).text
        [serving] = (await http.get(f"http://127.0.0.1:{stage.port}/v1/teachers")).json()["teachers"]
    told = teachers(bus)[0]
    assert (told.line, told.product, told.weights) == (LINE, PRODUCT, world.teacher().weights)
    assert (serving["line"], serving["weights"], serving["left_out"]) == (LINE, told.weights, [])
    assert {mask.weights for mask in masks(bus)} == {told.weights}
    assert labelled(bus).isdisjoint(event.capture_id for event in normals())  # normals are labelled by who took them
    assert bus.records(BURIED) == []
    assert ready.status_code == 200
    assert f'siad_labeler_masks_total{{line="{LINE}"}}' in text


async def test_what_is_no_image_is_buried_and_the_others_go_on() -> None:
    world, bus, port = await plant()
    bad, good = capture(1), [capture(number) for number in range(2, 8)]
    world.serve.unreadable.add(bad.capture_id)
    async with scorer(world, port), labeler(world, bus, port):
        await send(world, bus, *normals())
        await until(lambda: bool(teachers(bus)))
        await send(world, bus, bad, *good)
        await until(lambda: labelled(bus) >= {event.capture_id for event in good})
        await until(lambda: bool(bus.records(BURIED)))
    [letter] = bus.records(BURIED)
    buried = decode(DeadLetter, letter.value)
    assert (decode(ImageStored, buried.payload), buried.kind, buried.reason) == (bad, "poison", "it is no image")
    assert bad.capture_id not in labelled(bus)


async def test_while_the_scorer_is_away_captures_wait_and_then_none_is_missing() -> None:
    world, bus, port = await plant()
    first, second = capture(1), [replace(capture(number), serial="x") for number in range(2, 10)]
    async with labeler(world, bus, port) as stage, httpx.AsyncClient() as http:
        async with scorer(world, port):
            await send(world, bus, *normals())
            await until(lambda: bool(teachers(bus)))
            await send(world, bus, first)
            await until(lambda: first.capture_id in labelled(bus))
        await send(world, bus, *second)
        await asyncio.sleep(0.5)
        url = f"http://127.0.0.1:{stage.port}"
        ready, alive = await http.get(f"{url}/readyz"), await http.get(f"{url}/healthz")
        assert (ready.status_code, alive.status_code) == (503, 200)
        assert "scorer" in ready.json()["missing"]
        async with scorer(world, port):
            await until(lambda: labelled(bus) >= {event.capture_id for event in second})
    assert bus.records(BURIED) == []


async def test_while_a_segmenter_serves_a_share_and_what_it_doubts_is_labelled() -> None:
    world, bus, port = await plant()
    every = [capture(number, minutes=5) for number in range(1, 61)]
    drawn = {one.capture_id for one in every if is_drawn(one.capture_id, 0.1)}
    left = [one for one in every if one.capture_id not in drawn]
    async with scorer(world, port):
        async with labeler(world, bus, port):
            await send(world, bus, *normals())
            await until(lambda: bool(teachers(bus)))
            await until(lambda: world.blobs.head(backfill_key(LINE, PRODUCT)) is not None)
        manifest = SEGMENTER_MANIFEST
        world.blobs.put(manifest_key(LINE, PRODUCT, manifest.weights), manifest.to_json())
        await publish(bus, SEGMENTER, segmenter_released())
        async with labeler(world, bus, port):  # labels nothing before it has read the release
            await send(world, bus, *every)
            await until(lambda: labelled(bus) >= drawn)
            await publish(bus, VERDICT, *(judged(one, 5.0 if index < 3 else 0.1) for index, one in enumerate(left)))
            await until(lambda: labelled(bus) >= drawn | {one.capture_id for one in left[:3]})
            await until(lambda: not_labelled() >= len(left) - 3)
    assert labelled(bus) == drawn | {one.capture_id for one in left[:3]}
    assert bus.records(BURIED) == []


def not_labelled() -> float:
    return REGISTRY.get_sample_value("siad_labeler_not_labelled_total", {"line": LINE}) or 0.0


SEGMENTER_MANIFEST = make_manifest(kind=WeightsKind.SEGMENTER, line=LINE, product=PRODUCT)


def segmenter_released() -> SegmenterReleased:
    weights = SEGMENTER_MANIFEST.weights
    return SegmenterReleased(
        line=LINE, product=PRODUCT, revision=1, weights=weights, released_at=NOON, status=SegmenterStatus.SERVING
    )


def judged(event: ImageStored, score: float) -> VerdictGiven:
    """A segmenter's verdict at a threshold of 1."""
    about = {name: getattr(event, name) for name in ("capture_id", "image_id", "image_uri", "line", "product")}
    return replace(verdict(1, score, kind=WeightsKind.SEGMENTER), weights=SEGMENTER_MANIFEST.weights, **about)


async def publish(bus: MemoryBus, topic: Topic, *events: VerdictGiven | SegmenterReleased) -> None:
    async with bus.producer() as producer:
        await producer.publish(
            [Message(topic=topic.name, key=f"{LINE}/{PRODUCT}", value=encode(event)) for event in events]
        )


async def test_a_labeler_that_comes_back_goes_on_where_the_last_one_was() -> None:
    world, bus, port = await plant()
    async with scorer(world, port):
        async with labeler(world, bus, port):
            await send(world, bus, *normals())
            await until(lambda: bool(teachers(bus)))
        fits = len(world.serve.fits)
        between = [capture(number, minutes=5) for number in range(1, 10)]
        await send(world, bus, *between)
        async with labeler(world, bus, port):
            await until(lambda: labelled(bus) >= {event.capture_id for event in between})
    assert len(world.serve.fits) == fits  # the teacher stands in the store
    assert {told.weights for told in teachers(bus)} == {world.teacher().weights}
