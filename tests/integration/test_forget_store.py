"""Retention and forgetting on the real store: its listings, conditions and clock."""

import io
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq

from siad.contracts import keys
from siad.contracts.documents import LineState, write_line, write_receipt
from siad.contracts.events import ImageStored, Intent, LineChanged
from siad.contracts.ids import CaptureId, image_id_of
from siad.contracts.place import Place
from siad.erasure.capture import erase_captures, find_remains, find_serial
from siad.erasure.deletions import Deletions
from siad.erasure.expiry_plan import AdvanceExpiry, ExpireObjects, RetentionPolicy, plan
from siad.erasure.expiry_store import InventoryStore
from siad.erasure.line import erase_line, find_line_remains
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.s3 import S3Blobs

NOW = datetime.now(UTC)
LINE = "l"
POLICY = RetentionPolicy(images_days=30, masks_days=30, receipts_days=60)


def add(
    blobs: S3Blobs, number: int, *, data: bytes = b"", is_normal: bool = False, line: str = LINE, capture_id: str = ""
) -> ImageStored:
    data = data or f"image {number}".encode()
    image_id = image_id_of(data)
    where = keys.image_key(line, NOW, image_id, "png")
    event = ImageStored(
        capture_id=CaptureId(capture_id or f"{number:032x}"), image_id=image_id, image_uri=blobs.uri(where),
        size_bytes=len(data), line=line, product="p", line_revision=1, captured_at=NOW, received_at=NOW,
        serial=f"part {number // 2}",
        intent=Intent.NORMAL if is_normal else Intent.INSPECT,
    )  # fmt: skip
    blobs.put(where, data, tags={"keep": "normal"} if is_normal else None)
    blobs.put(keys.capture_key(line, event.capture_id), write_receipt(event))
    blobs.put(keys.mask_key(line, event.capture_id, "a" * 64), b"mask")
    if is_normal:
        blobs.put(keys.normal_key(line, "p", event.capture_id), write_receipt(event))
    return event


def left(blobs: S3Blobs) -> set[int]:
    """Numbers of the captures of which there is anything."""
    found = [info.key for kind in ("captures", "masks", "normals") for info in blobs.list(f"{kind}/")]
    return {number for number in range(10) if any(f"{number:032x}" in key for key in found)}


def test_a_part_is_erased_and_its_rows_are_taken_out(s3_blobs: S3Blobs) -> None:
    events = [add(s3_blobs, number, data=b"stuck" if number in (2, 5) else b"") for number in range(6)]
    key = keys.ledger_key(Place(LINE, "p"), "siad.pseudo-mask.v1", 0, 0, 5)
    sink = io.BytesIO()
    pq.write_table(pa.table({"capture_id": [event.capture_id for event in events]}), sink)
    s3_blobs.put(key, sink.getvalue())
    remains = find_remains(s3_blobs, LINE, find_serial(s3_blobs, LINE, "part 1", now=NOW))
    assert (len(remains.images), len(remains.shared), remains.ledger) == (1, 1, ((key, 2),))
    erase_captures(s3_blobs, remains)
    assert left(s3_blobs) == {0, 1, 4, 5}
    assert pq.read_table(io.BytesIO(s3_blobs.get(key).data)).num_rows == 4
    assert Deletions(s3_blobs).read(LINE).captures == {events[2].capture_id, events[3].capture_id}
    assert find_remains(s3_blobs, LINE, remains.deletions).is_empty
    assert s3_blobs.get(s3_blobs.key_of(events[5].image_uri)).data == b"stuck"


def test_a_line_made_anew_keeps_what_came_after(s3_blobs: S3Blobs) -> None:
    for number in range(4):
        add(s3_blobs, number, is_normal=number == 3)
    settings = LineChanged(
        line=LINE, revision=2, product="p", false_reject_budget=0.1, shards=1, deadline_s=0, changed_at=NOW
    )
    s3_blobs.put(keys.line_pointer_key(LINE), write_line(LineState(settings=settings, is_gone=True)))
    erase_line(s3_blobs, find_line_remains(s3_blobs, LINE), now=NOW)
    assert left(s3_blobs) == set()
    s3_blobs.put(keys.line_pointer_key(LINE), write_line(LineState(settings=settings)))
    add(s3_blobs, 7)
    erase_line(s3_blobs, find_line_remains(s3_blobs, LINE), now=NOW + timedelta(minutes=1))
    assert left(s3_blobs) == {7}


async def test_what_has_had_its_time_goes_and_normals_stay(s3_blobs: S3Blobs) -> None:
    for number in range(5):
        add(s3_blobs, number, is_normal=number == 2)
    store = AsyncBlobs(s3_blobs)
    stock = InventoryStore(store, POLICY)
    removed = 0
    while actions := plan(await stock.read(LINE, NOW + timedelta(days=100)), objects_max=4):
        for action in actions:
            if isinstance(action, AdvanceExpiry):
                await stock.advance(LINE, action)
            else:
                assert isinstance(action, ExpireObjects)
                await stock.expire(LINE, action)
                removed += len(action.keys)
    store.close()
    assert (left(s3_blobs), removed, len(list(s3_blobs.list("images/")))) == ({2}, 12, 1)
