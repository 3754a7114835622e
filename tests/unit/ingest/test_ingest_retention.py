"""What has had its time goes, in an order that leaves no receipt without a word; normals and training sets stay."""

import asyncio
import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from services.ingest.adapters.store import LineRevisions
from services.ingest.reconcile import RETENTION, RetentionReconciler
from services.ingest.settings import IngestSettings
from siad.contracts import keys
from siad.contracts.documents import write_receipt
from siad.contracts.errors import CorruptError, TransientError
from siad.contracts.events import ImageStored, Intent
from siad.contracts.expiry import NEVER, Expiry
from siad.contracts.ids import CaptureId, image_id_of
from siad.contracts.topics import IMAGE
from siad.erasure.expiry_plan import (
    AdvanceExpiry,
    ExpiredObject,
    ExpireObjects,
    LineInventory,
    RetainedObjects,
    RetentionPolicy,
    plan,
)
from siad.erasure.expiry_store import InventoryStore
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.bus.memory import MemoryBus
from siad.runtime.testing.clock import FakeClock
from siad.runtime.testing.diary import ProcessKilled
from siad.runtime.testing.mortal import MortalBlobs

NOW = datetime.now(UTC)
LINE = "l"
ALL = RetentionPolicy(images_days=30, masks_days=30, receipts_days=60)


def add(blobs: MemoryBlobs, number: int, *, days: float = 0, is_normal: bool = False) -> ImageStored:
    """A capture of so many days ago; the store's own clock can't be set back, so its other objects are of today."""
    data, at = f"image {number}".encode(), NOW - timedelta(days=days)
    image_id = image_id_of(data)
    where = keys.image_key(LINE, at, image_id, "png")
    event = ImageStored(
        capture_id=CaptureId(f"{number:032x}"), image_id=image_id, image_uri=blobs.uri(where), size_bytes=9, line=LINE,
        product="p", line_revision=1, captured_at=at, received_at=at, serial="",
        intent=Intent.NORMAL if is_normal else Intent.INSPECT,
    )  # fmt: skip
    blobs.put(where, data)
    blobs.put(keys.capture_key(LINE, event.capture_id), write_receipt(event))
    blobs.put(keys.mask_key(LINE, event.capture_id, "a" * 64), b"mask")
    if is_normal:
        blobs.put(keys.normal_key(LINE, "p", event.capture_id), write_receipt(event))
    return event


def freeze(blobs: MemoryBlobs, *events: ImageStored, is_listed: bool = True) -> None:
    """A training set of these."""
    blobs.put(keys.training_set_key(LINE, "p", "d" * 64), b"rows")
    if is_listed:
        said = {"captures": [one.capture_id for one in events], "images": [one.image_uri for one in events]}
        blobs.put(keys.training_set_members_key(LINE, "p", "d" * 64), json.dumps(said).encode())


async def retain(blobs: MemoryBlobs, *, days: float = 0, policy: RetentionPolicy = ALL, rounds: int = 20) -> list[str]:
    """Rounds until there is nothing to do, as of so many days from now; what was done."""
    store, clock, nudge = AsyncBlobs(blobs, workers=1), FakeClock(NOW + timedelta(days=days)), asyncio.Event()
    works = RetentionReconciler(
        LineRevisions(store), InventoryStore(store, policy), policy=policy, nudge=nudge, clock=clock
    )
    done: list[str] = []
    try:
        for _ in range(rounds):
            actions = works.plan(await works.observe(RETENTION + LINE), clock.now())
            if not actions:
                return done
            for action in actions:
                await works.act(RETENTION + LINE, action)
                done.append(type(action).__name__)
        raise AssertionError(f"it goes round in circles: {done}")
    finally:
        store.close()


def left(blobs: MemoryBlobs, event: ImageStored) -> set[str]:
    """What there still is of a capture."""
    there = {
        "image": blobs.key_of(event.image_uri),
        "receipt": keys.capture_key(LINE, event.capture_id),
        "mask": keys.mask_key(LINE, event.capture_id, "a" * 64),
    }
    return {kind for kind, key in there.items() if blobs.head(key) is not None}


async def test_nothing_expires_by_default() -> None:
    blobs = MemoryBlobs()
    old = add(blobs, 1, days=4000)
    assert await retain(blobs, days=4000, policy=RetentionPolicy()) == []
    assert left(blobs, old) == {"image", "receipt", "mask"}
    assert RetentionPolicy().is_off


@pytest.mark.parametrize(("days", "stays"), [(29, True), (31, False)])
async def test_an_image_goes_after_its_days_and_the_receipt_says_why(days: int, stays: bool) -> None:
    blobs = MemoryBlobs()
    event = add(blobs, 1, days=days)
    await retain(blobs)
    expiry = Expiry.from_json(blobs.get(keys.expiry_key(LINE)).data)
    assert ("image" in left(blobs, event)) == stays
    assert expiry.is_expired(event.received_at) != stays
    assert {"receipt", "mask"} <= left(blobs, event)


async def test_masks_and_receipts_go_in_their_time() -> None:
    blobs = MemoryBlobs()
    event = add(blobs, 1)
    await retain(blobs, days=32)  # a day more than is due: midnight may lie between NOW and the store's own clock
    assert left(blobs, event) == {"receipt"}
    await retain(blobs, days=62)
    assert left(blobs, event) == set()


async def test_corrections_go_with_the_receipts_and_those_of_members_stay() -> None:
    blobs = MemoryBlobs()
    plain, member = add(blobs, 1), add(blobs, 2)
    freeze(blobs, member)
    found = {
        event.capture_id: [
            keys.correction_key(LINE, event.capture_id, 1),
            keys.correction_key(LINE, event.capture_id, 2),
            keys.correction_mask_key(LINE, event.capture_id, "f" * 64),
        ]
        for event in (plain, member)
    }
    for key in (key for names in found.values() for key in names):
        blobs.put(key, b"correction")
    await retain(blobs, days=40)
    assert len(list(blobs.list(keys.corrections_prefix(LINE)))) == 6
    await retain(blobs, days=61)
    assert [info.key for info in blobs.list(keys.corrections_prefix(LINE))] == sorted(found[member.capture_id])
    assert left(blobs, plain) == set()


async def test_normals_and_members_of_training_sets_stay_for_ever() -> None:
    blobs = MemoryBlobs()
    normal, member, other = add(blobs, 1, days=100, is_normal=True), add(blobs, 2, days=100), add(blobs, 3, days=100)
    freeze(blobs, member)
    await retain(blobs, days=100)
    assert left(blobs, normal) == left(blobs, member) == {"image", "receipt", "mask"}
    assert left(blobs, other) == set()


async def test_nothing_expires_while_a_training_set_has_no_list() -> None:
    blobs = MemoryBlobs()
    member = add(blobs, 1, days=100)
    freeze(blobs, member, is_listed=False)
    assert await retain(blobs, days=100) == []
    assert left(blobs, member) == {"image", "receipt", "mask"}


async def test_a_round_is_bounded_and_the_next_goes_on() -> None:
    blobs = MemoryBlobs()
    events = [add(blobs, number, days=40) for number in range(7)]
    done = await retain(blobs, policy=RetentionPolicy(images_days=30, objects_max=3))
    assert done == ["AdvanceExpiry", "ExpireObjects", "ExpireObjects", "ExpireObjects"]
    assert all(left(blobs, event) == {"receipt", "mask"} for event in events)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=3))
def test_cut_off_anywhere_no_image_is_gone_without_a_word_and_the_next_round_finishes(deaths: list[int]) -> None:
    blobs = MortalBlobs()
    events = [add(blobs, number, days=20 + 5 * number, is_normal=number == 5) for number in range(8)]
    for lives in deaths:
        blobs.lives = lives
        with suppress(ProcessKilled):
            asyncio.run(retain(blobs))
        blobs.lives = 10**9
        mark = blobs.head(keys.expiry_key(LINE))
        expiry = Expiry.from_json(blobs.get(keys.expiry_key(LINE)).data) if mark else Expiry()
        assert all("image" in left(blobs, event) or expiry.is_expired(event.received_at) for event in events)
    asyncio.run(retain(blobs))
    assert ["image" in left(blobs, event) for event in events] == [True] * 3 + [False] * 2 + [True] + [False] * 2


async def test_the_mark_never_moves_back() -> None:
    blobs = MemoryBlobs()
    add(blobs, 1)
    await retain(blobs, days=100)
    before = blobs.get(keys.expiry_key(LINE)).data
    assert await retain(blobs, policy=RetentionPolicy(images_days=90)) == []
    assert blobs.get(keys.expiry_key(LINE)).data == before


async def test_a_normal_that_cannot_be_read_puts_its_line_off() -> None:
    blobs = MemoryBlobs()
    event = add(blobs, 1, days=100, is_normal=True)
    blobs.put(keys.normal_key(LINE, "p", event.capture_id), b"torn")
    with pytest.raises(TransientError, match="no object of ingest-retention/l expires"):
        await retain(blobs)


def test_the_plan_leaves_what_is_kept() -> None:
    aged = tuple(ExpiredObject(f"images/l/d/{n}.png", capture="") for n in range(3))
    stock = LineInventory(
        expiry=Expiry(), wanted=Expiry(), expired=aged, retained=RetainedObjects(images=frozenset({aged[1].key}))
    )
    assert plan(stock, objects_max=10) == [ExpireObjects((aged[0].key, aged[2].key), is_all=True)]
    assert plan(stock, objects_max=1) == [ExpireObjects((aged[0].key,), is_all=False)]
    moved = LineInventory(expiry=Expiry(), wanted=ALL.at(NOW))
    assert plan(moved, objects_max=1) == [AdvanceExpiry(ALL.at(NOW))]


@pytest.mark.parametrize("data", [b"", b"[]", b'{"images_from": 1}'])
def test_what_is_no_mark_is_refused(data: bytes) -> None:
    with pytest.raises(CorruptError, match="bytes are not a Expiry"):
        Expiry.from_json(data)


def test_a_mark_reads_back() -> None:
    assert Expiry.from_json(Expiry().to_json()) == Expiry(images_from=NEVER)
    assert Expiry.from_json(ALL.at(NOW).to_json()) == ALL.at(NOW)


@pytest.mark.parametrize("wish", [{"receipts_days": 30}, {"receipts_days": 30, "images_days": 31, "masks_days": 5}])
def test_receipts_outlive_what_they_name(wish: dict[str, int]) -> None:
    with pytest.raises(ValidationError, match="receipts would expire before the objects"):
        IngestSettings(**wish)  # type: ignore[arg-type]
    assert IngestSettings(receipts_days=60, images_days=30, masks_days=60).receipts_days == 60


async def test_a_repeat_of_what_has_expired_is_neither_kept_nor_told_again(
    client: httpx.AsyncClient, blobs: MemoryBlobs, bus: MemoryBus, png: bytes, clock: FakeClock
) -> None:
    await client.put("/v1/lines/l", json={"product": "p"})
    headers = {"Content-Type": "image/png"}
    assert (await client.post("/v1/lines/l/images", content=png, headers=headers)).status_code == 202
    clock.advance(40 * 86_400)
    store = AsyncBlobs(blobs)
    policy = RetentionPolicy(images_days=30)
    works = RetentionReconciler(
        LineRevisions(store), InventoryStore(store, policy), policy=policy, nudge=asyncio.Event(), clock=clock
    )
    for action in works.plan(await works.observe(RETENTION + "l"), clock.now()):
        await works.act(RETENTION + "l", action)
    again = await client.post("/v1/lines/l/images", content=png, headers=headers)
    assert (again.status_code, list(blobs.list("images/")), len(bus.records(IMAGE.name))) == (202, [], 1)
    known = await client.post("/v1/lines/l/images?intent=normal", content=png, headers=headers)
    assert (known.status_code, len(list(blobs.list("images/")))) == (202, 1)
