"""A plant that is fed poison: one broker, one store, and three stages that are started again when they fall."""

import asyncio
import struct
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from pydantic import AnyHttpUrl

from services.inference import app as inference
from services.inference.settings import InferenceSettings
from services.labeler import app as labeler
from services.labeler.ports import ScorerBugError
from services.labeler.scorer_api import DRAW_FAILED, IMAGE_REFUSED
from services.labeler.settings import LabelerSettings
from services.trainer import app as trainer
from services.trainer.domain.job_end import JobEnd
from services.trainer.settings import TrainerSettings
from siad.apps.local.ports import free_ports
from siad.audit.dead_letters import read_whole
from siad.contracts.codec import encode
from siad.contracts.errors import CorruptError, MissingError
from siad.contracts.events import ImageStored, LineChanged, PseudoMaskCreated, Region
from siad.contracts.ids import WeightsId, image_id_of
from siad.contracts.topics import LINE, Topic
from siad.runtime.blobs.port import Blob, Blobs, get_verified
from siad.runtime.blobs.s3 import S3Blobs
from siad.runtime.bus.port import Bus, Message, Record
from siad.runtime.settings import StageSettings
from siad.runtime.worker import Assemble, StageProcess, serve
from siad.vision.images import ImageError, decode_image
from tests.synthetic import bundle, part_image, png, release, settings, store_capture

PLACE, TRAP = "line-1/0", "trap"


@dataclass(frozen=True)
class Poison:
    """One record that is no good, or a good one that stands behind it."""

    kind: str
    payload: bytes
    capture: str = ""  # empty if unknown


class TrappedBlobs(S3Blobs):
    """A store in which some keys set off a bug."""

    def get(self, key: str) -> Blob:
        """Read one object."""
        _spring(key)
        return super().get(key)

    def put(self, key: str, data: bytes, **how: Any) -> str:
        """Write one object."""
        _spring(key)
        return super().put(key, data, **how)


def _spring(key: str) -> None:
    if TRAP in key and "/normals" not in key:
        raise ZeroDivisionError(key)


class Images:
    """Makes image records; a number names a capture."""

    def __init__(self, blobs: S3Blobs, first: int) -> None:
        self._blobs, self._number = blobs, first
        self.deleted: dict[str, bytes] = {}

    def good(self) -> Poison:
        event = self._stored(png(part_image(self._next())))
        return Poison("good", encode(event), event.capture_id)

    def make(self, kind: str) -> Poison:
        """One of the kinds of ``IMAGES``."""
        event = self._stored(png(part_image(self._next())))
        named: dict[str, Callable[[], ImageStored]] = {
            "unknown line revision": lambda: replace(event, line_revision=99),
            "image deleted": lambda: self._deleted(event),
            "not an image": lambda: self._stored(b"no pixels at all"),
            "40,000 px wide": lambda: self._stored(wide_png()),
            "wrong digest": lambda: replace(event, image_id=image_id_of(b"other bytes")),
            "crash of the handler": lambda: replace(event, image_uri=self._blobs.uri(f"images/line-1/{TRAP}.png")),
        }
        if kind in named:
            spoilt = named[kind]()
            return Poison(kind, encode(spoilt), spoilt.capture_id)
        data = encode(event)
        if kind == "a field that can't be":
            return Poison(
                kind, data + b"\x20\x00", event.capture_id
            )  # field 4, size_bytes, says 0; the last word counts
        bare = {"empty": b"", "cut short": data[:-1], "wrong type": encode(settings())}
        return Poison(kind, bare[kind])

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _stored(self, data: bytes) -> ImageStored:
        return store_capture(self._blobs, data, key=str(self._next()))

    def _deleted(self, event: ImageStored) -> ImageStored:
        key = self._blobs.key_of(event.image_uri)
        self.deleted[key] = self._blobs.get(key).data
        self._blobs.delete(key)
        return event


class PseudoMasks:
    """Makes pseudo-mask records."""

    def __init__(self, images: Images, blobs: S3Blobs) -> None:
        self._images, self._blobs = images, blobs

    def good(self) -> Poison:
        event = self._of(self._images._stored(png(part_image(self._images._next()))))
        return Poison("good", encode(event), event.capture_id)

    def make(self, kind: str) -> Poison:
        """One of the kinds of ``PSEUDO_MASKS``."""
        image = self._images._stored(png(part_image(self._images._next())))
        event = self._of(image)
        outline = {"region left of the image": -5, "region right of the image": 9_999}
        if kind in outline:
            region = Region(points=(0, 0, 5, 0, 5, 5), area_px=12, peak_score=9.0)
            object.__setattr__(region, "points", (outline[kind], 0, 5, 0, 5, 5))  # as a newer or broken writer might
            event = replace(event, regions=(region,))
        elif kind == "image deleted":
            event = self._of(self._images._deleted(image))
        elif kind == "not an image":
            event = self._of(self._images._stored(b"no pixels at all"))
        elif kind == "40,000 px wide":
            event = self._of(self._images._stored(wide_png()))
        elif kind == "wrong digest":
            object.__setattr__(event, "mask_sha256", "no digest")
        elif kind == "crash of the handler":
            event = replace(event, product=TRAP)
        else:
            data = encode(event)
            bare = {"empty": b"", "cut short": data[:-1], "wrong type": encode(settings())}
            return Poison(kind, bare[kind])
        return Poison(kind, encode(event), event.capture_id)

    def _of(self, image: ImageStored) -> PseudoMaskCreated:
        return PseudoMaskCreated(
            capture_id=image.capture_id,
            image_id=image.image_id,
            image_uri=image.image_uri,
            line=image.line,
            product=image.product,
            captured_at=image.captured_at,
            received_at=image.received_at,
            mask_uri=self._blobs.uri(f"masks/line-1/{image.capture_id}/x.png"),
            mask_sha256="d" * 64,
            weights=WeightsId("a" * 64),
            score=1.0,
            threshold=2.0,
            defect_ratio=0.0,
            regions=(),
            confidence=1.0,
        )


def wide_png() -> bytes:
    """A sound PNG of a few bytes that says it is 40,000 px wide and as high."""
    data = bytearray(png(part_image(0)))
    data[16:24] = struct.pack(">II", 40_000, 40_000)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    return bytes(data)


@dataclass
class Plant:
    """What runs, and how often it fell."""

    bus: Bus
    blobs: S3Blobs
    falls: dict[str, int] = field(default_factory=dict)
    stages: dict[str, StageProcess] = field(default_factory=dict)
    is_closing: bool = False

    async def begin(self, topics: list[Topic]) -> None:
        """Topics, a line, and a teacher that judges it."""
        await self.bus.create_topics(topics)
        line: LineChanged = settings()
        await self.send([Message(topic=LINE.name, key=line.line, value=encode(line))])
        release(self.blobs, bundle(seed=1))

    async def send(self, messages: list[Message]) -> None:
        """Publish."""
        async with self.bus.producer() as producer:
            await producer.publish(messages)

    async def records(self, topics: list[Topic]) -> list[Record]:
        """All that lies in some topics."""
        return await read_whole(self.bus, topics)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The three stages, and the labeler's scorer."""
        (port,) = free_ports(1)
        scorer = Server(uvicorn.Config(make_scorer(self.blobs), port=port, log_config=None, lifespan="off"))
        tasks = [asyncio.create_task(scorer.serve())]
        tasks += [asyncio.create_task(self._keep(name, port)) for name in ("labeler", "trainer", "inference")]
        try:
            yield
        finally:
            self.is_closing = scorer.should_exit = True
            for stage in self.stages.values():
                stage.stop.set()
            await asyncio.gather(*tasks)

    async def _keep(self, name: str, scorer_port: int) -> None:
        """Start again what falls."""
        own, put_together = self._make(name, scorer_port)
        while not self.is_closing:
            stage = self.stages[name] = StageProcess(name, own)
            try:
                await serve(stage, put_together)
            except (ZeroDivisionError, ScorerBugError):
                self.falls[name] = self.falls.get(name, 0) + 1

    def _make(self, name: str, scorer_port: int) -> tuple[StageSettings, Assemble]:
        ports = {"bus": self.bus, "blobs": self.blobs}
        if name == "labeler":
            asks = LabelerSettings(http_port=0, scorer_url=AnyHttpUrl(f"http://127.0.0.1:{scorer_port}"))
            return asks, partial(_swap, labeler.assemble, asks, ports)
        if name == "trainer":
            waits = TrainerSettings(http_port=0, batch_wait_s=0.2)
            return waits, partial(_swap, trainer.assemble, waits, ports | {"jobs": NoJobs()})
        polls = InferenceSettings(http_port=0, poll_s=1.0)
        return polls, partial(_swap, inference.assemble, polls, ports)


def _swap(
    assemble: Any, own: StageSettings, ports: dict[str, Any], stage: StageProcess
) -> AbstractAsyncContextManager[None]:
    made: AbstractAsyncContextManager[None] = assemble(stage, own, **ports)
    return made


class Server(uvicorn.Server):
    """Leaves the signals alone."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


class NoJobs:
    """No training happens here."""

    def turn(self) -> AbstractAsyncContextManager[None]:
        """Never asked."""
        raise NotImplementedError

    async def is_running(self, run: str) -> bool:
        """Never asked."""
        raise NotImplementedError(run)

    async def run(self, run: str) -> JobEnd:
        """Never asked."""
        raise NotImplementedError(run)

    async def end(self, run: str) -> None:
        """Never asked."""
        raise NotImplementedError(run)


def make_scorer(blobs: Blobs) -> FastAPI:
    """As the application in Ray Serve answers, without a network: it fetches, verifies, decodes, and draws nothing."""
    app = FastAPI()

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "up"}

    @app.post("/draw")
    def draw(request: dict[str, Any]) -> JSONResponse:
        if TRAP in request["image_uri"]:
            return JSONResponse({"type": DRAW_FAILED, "detail": "division by zero"}, status_code=500)
        try:
            decode_image(get_verified(blobs, blobs.key_of(request["image_uri"]), sha256=request["image_id"]))
        except (MissingError, CorruptError, ImageError) as error:
            return JSONResponse({"type": IMAGE_REFUSED, "detail": str(error)}, status_code=422)
        said = {"mask_uri": blobs.uri("masks/x.png"), "mask_sha256": "e" * 64, "score": 1.0, "threshold": 2.0}
        return JSONResponse(said | {"defect_ratio": 0.0, "regions": [], "confidence": 1.0})

    return app
