"""A labeler's world in memory: its own adapters over a store in memory, and a scorer that only pretends to compute."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import httpx

from services.labeler.adapters.fit_orders import BarredCaptures, StoredFitOrders
from services.labeler.adapters.learning_records import StoredCorrections, StoredRefits
from services.labeler.adapters.lines import LabelerLines
from services.labeler.adapters.scorer_client import ScorerClient
from services.labeler.adapters.stream_scores import StoredStreamScores
from services.labeler.domain.fit_notes import FitNotes
from services.labeler.domain.plan import Action, TeacherState
from services.labeler.reconcile import TeacherReconciler
from services.labeler.scorer_api import DRAW_FAILED, FIT_REFUSED, IMAGE_REFUSED
from siad.contracts.codec import decode
from siad.contracts.documents import LineState, write_line, write_receipt
from siad.contracts.events import ImageStored, Intent, PseudoMaskCreated, TeacherReleased, WeightsKind
from siad.contracts.ids import CaptureId, ImageId, WeightsId, sha256_hex
from siad.contracts.keys import capture_key, line_pointer_key, manifest_key, mask_key, normal_key
from siad.contracts.manifest import Manifest
from siad.contracts.place import Place
from siad.contracts.pointer import Pointer
from siad.contracts.topics import PSEUDO_MASK, TEACHER
from siad.erasure.deletions import AsyncDeletions
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.store.brakes import StoredBrakes, StoredHolds
from siad.runtime.store.quarantine import AsyncQuarantine
from siad.runtime.store.registry import Registry
from siad.runtime.store.releases import ReleasePublisher
from siad.runtime.testing.clock import FakeClock
from siad.runtime.testing.mortal import IMMORTAL, MortalBlobs, MortalProducer
from siad.vision.images import DECODER_VERSION
from siad.vision.preprocess import PREPROCESS_VERSION
from tests.events import NOON, make_image_stored, make_line_changed
from tests.manifests import make_manifest
from tests.thresholds import FixedThresholds

LINE, PRODUCT, UNIT = "press-1", "cap", "labeler/press-1/cap"
PLACE = Place(LINE, PRODUCT)
ROUNDS_MAX = 8  # to settle; a world that needs more never settles


def capture(
    number: int, *, intent: Intent = Intent.INSPECT, minutes: float = 0.0, product: str = PRODUCT
) -> ImageStored:
    """One capture, received so many minutes after noon."""
    image_id = ImageId(sha256_hex(f"{intent}-{number}".encode()))
    received_at = NOON + timedelta(minutes=minutes)
    return make_image_stored(
        capture_id=CaptureId(image_id[:32]),
        image_id=image_id,
        image_uri=f"s3://siad/images/{LINE}/{number}.png",
        line=LINE,
        product=product,
        captured_at=received_at,
        received_at=received_at,
        intent=intent,
    )


def manifest_of(normals: Sequence[str], *, decoder_version: int = DECODER_VERSION) -> Manifest:
    """A teacher fitted on these."""
    return make_manifest(
        line=LINE,
        product=PRODUCT,
        decoder_version=decoder_version,
        preprocess_version=PREPROCESS_VERSION,
        normals=tuple(sorted(normals)),
    )


@dataclass
class Serve:
    """Answers as the application does. ``unreadable`` images are no images; calls numbered in ``away_at`` fail."""

    blobs: MemoryBlobs
    unreadable: set[str] = field(default_factory=set)  # capture ids
    cursed: set[str] = field(default_factory=set)  # capture ids that the network falls over
    away_at: set[int] = field(default_factory=set)
    loses_weights: bool = False  # a fit that stores its weights in another bucket
    calls: int = 0
    fits: list[int] = field(default_factory=list)  # normals asked for
    drawn: list[str] = field(default_factory=list)  # capture ids
    orders: list[dict[str, Any]] = field(default_factory=list)  # bodies of fits
    evidence: str = ""  # of every fit
    abreast: int = 0
    abreast_max: int = 0

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.calls += 1
        if self.calls in self.away_at:
            return httpx.Response(503, text="no replica")
        body = json.loads(request.content)
        self.abreast += 1
        self.abreast_max = max(self.abreast_max, self.abreast)
        await asyncio.sleep(0)
        self.abreast -= 1
        return self.fit(body) if request.url.path == "/fit" else self.draw(body)

    def fit(self, body: dict[str, Any]) -> httpx.Response:
        self.fits.append(len(body["normals"]))
        names = [one["capture_id"] for one in body["normals"] if one["capture_id"] not in self.unreadable]
        if len(names) < 2:
            return httpx.Response(422, json={"type": FIT_REFUSED, "detail": "can't be read"})
        self.orders.append(body)
        manifest = replace(manifest_of(names), stream_normals=tuple(one["capture_id"] for one in body["stream"]))
        if not self.loses_weights:
            MemoryBlobs.put(self.blobs, manifest_key(LINE, PRODUCT, manifest.weights), manifest.to_json())
        return httpx.Response(200, json={"weights": manifest.weights, "evidence": self.evidence})

    def draw(self, body: dict[str, Any]) -> httpx.Response:
        if body["capture_id"] in self.unreadable:
            return httpx.Response(422, json={"type": IMAGE_REFUSED, "detail": "it is no image"})
        if body["capture_id"] in self.cursed:
            return httpx.Response(500, json={"type": DRAW_FAILED, "detail": "division by zero"})
        self.drawn.append(body["capture_id"])
        region = {"points": [0, 0, 4, 0, 4, 4], "area_px": 9, "peak_score": 3.5}
        return httpx.Response(
            200,
            json={
                "mask_uri": f"s3://siad/{mask_key(LINE, body['capture_id'], body['weights'])}",
                "mask_sha256": "b" * 64,
                "score": 3.5,
                "threshold": 2.0,
                "defect_ratio": 0.25,
                "regions": [region],
                "confidence": 0.5,
            },
        )


@dataclass
class World:
    """What outlives a process, and the process at hand."""

    blobs: MortalBlobs = field(default_factory=MortalBlobs)
    producer: MortalProducer = field(default_factory=MortalProducer)
    clock: FakeClock = field(default_factory=lambda: FakeClock(NOON))
    backfill_max: int = 500
    thresholds: FixedThresholds = field(default_factory=FixedThresholds)
    serve: Serve = field(init=False)
    works: TeacherReconciler = field(init=False)
    stream: StoredStreamScores = field(init=False)
    notes: FitNotes = field(init=False)

    def __post_init__(self) -> None:
        self.serve = Serve(self.blobs)
        self.set_line()
        self.restart()

    def restart(self) -> None:
        """A new process on the same store: nothing is remembered."""
        self.blobs.lives = self.producer.lives = IMMORTAL
        store = AsyncBlobs(self.blobs, workers=2)
        client = httpx.AsyncClient(base_url="http://scorer", transport=httpx.MockTransport(self.serve))
        scorer = ScorerClient(client, self.thresholds, timeout_s=5, fit_timeout_s=5)
        lines, deletions = LabelerLines(store), AsyncDeletions(store, clock=self.clock)
        self.stream = StoredStreamScores(store)
        self.notes = FitNotes()
        barred = BarredCaptures(deletions, AsyncQuarantine(store))
        self.works = TeacherReconciler(
            lines=lines,
            orders=StoredFitOrders(lines, self.stream, StoredCorrections(store), barred, self.thresholds),
            refits=StoredRefits(store),
            stream=self.stream,
            brakes=StoredBrakes(store),
            holds=StoredHolds(store),
            releases=ReleasePublisher(store, self.producer),
            scorer=scorer,
            fitter=scorer,
            deletions=deletions,
            quarantine=AsyncQuarantine(store),
            producer=self.producer,
            notes=self.notes,
            nudge=asyncio.Event(),
            backfill_max=self.backfill_max,
            clock=self.clock,
        )

    def set_line(self, *, is_gone: bool = False, **changes: Any) -> None:
        settings = make_line_changed(line=LINE, product=PRODUCT, **changes)
        state = write_line(LineState(settings=settings, is_gone=is_gone))
        MemoryBlobs.put(self.blobs, line_pointer_key(LINE), state)

    def add_normals(self, upto: int) -> None:
        """So many normals lie in the store."""
        for number in range(upto):
            self.add(capture(number, intent=Intent.NORMAL, minutes=-60 + number / 10))

    def add(self, event: ImageStored) -> ImageStored:
        data = write_receipt(event)
        MemoryBlobs.put(self.blobs, capture_key(LINE, event.capture_id), data)
        if event.intent is Intent.NORMAL:
            MemoryBlobs.put(self.blobs, normal_key(LINE, event.product, event.capture_id), data)
        return event

    async def observe(self) -> TeacherState:
        return await self.works.observe(UNIT)

    async def settle(self) -> list[str]:
        """Rounds until there is nothing left to do; what was done, in order."""
        done: list[str] = []
        for _ in range(ROUNDS_MAX):
            actions: Sequence[Action] = self.works.plan(await self.observe(), self.clock.now())
            if not actions:
                return done
            for action in actions:
                await self.works.act(UNIT, action)
                done.append(type(action).__name__)
        raise AssertionError(f"it goes round in circles: {done}")

    def pointer(self) -> Pointer | None:
        return Registry(self.blobs).pointer(WeightsKind.TEACHER, Place(LINE, PRODUCT))

    def teacher(self) -> Manifest:
        pointer = self.pointer()
        assert pointer is not None
        return Registry(self.blobs).manifest(Place(LINE, PRODUCT), pointer.weights)

    def release(self, manifest: Manifest) -> Pointer:
        """Another replica has fitted and released."""
        MemoryBlobs.put(self.blobs, manifest_key(LINE, PRODUCT, manifest.weights), manifest.to_json())
        return Registry(self.blobs).point(manifest, expected=self.pointer(), released_at=self.clock.now())

    def masks(self) -> list[PseudoMaskCreated]:
        return [decode(PseudoMaskCreated, m.value or b"") for m in self.producer.sent if m.topic == PSEUDO_MASK.name]

    def releases(self) -> list[TeacherReleased]:
        return [decode(TeacherReleased, m.value or b"") for m in self.producer.sent if m.topic == TEACHER.name]


def weights_of(number: int) -> WeightsId:
    """Some weights."""
    return WeightsId(sha256_hex(str(number).encode()))


def later(event: ImageStored, minutes: float) -> ImageStored:
    """The same, received later."""
    return replace(event, received_at=event.received_at + timedelta(minutes=minutes))
