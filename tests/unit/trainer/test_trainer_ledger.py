"""Pseudo-masks written down, read back, and counted."""

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow.parquet as pq
import pytest

from services.trainer import handlers
from services.trainer.adapters.ledger import ParquetLedger
from services.trainer.adapters.parquet import read_rows, write_rows
from services.trainer.domain.ledger import (
    LedgerFile,
    LedgerRow,
    drop_repeats,
    fresh_captures,
    row_of,
    rows_of,
    rows_of_newest_teacher,
)
from services.trainer.domain.training_set import MemberRole, MemberUse, TrainingMember
from siad.contracts.codec import encode
from siad.contracts.deletion import CaptureDeletion, LineDeletion
from siad.contracts.errors import CorruptError, TransientError
from siad.contracts.events import PseudoMaskCreated
from siad.contracts.expiry import Expiry
from siad.contracts.ids import CaptureId, ImageId, WeightsId
from siad.contracts.keys import deletion_key, expiry_key, line_deletion_key
from siad.contracts.place import Place
from siad.erasure.deletions import AsyncDeletions
from siad.erasure.rows import erase_rows
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.bus.port import Record, TopicPartition
from siad.runtime.consumer.routes import Batch
from siad.runtime.testing.mortal import MortalBlobs

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
LP = Place("l", "p")
PARTITION = TopicPartition("siad.pseudo-mask.v1", 3)


def event(number: int, *, line: str = "l", weights: str = "a", score: float = 1.0) -> PseudoMaskCreated:
    return PseudoMaskCreated(
        capture_id=CaptureId(f"{number:032x}"),
        image_id=ImageId(f"{number:064x}"),
        image_uri=f"s3://siad/images/{number}.png",
        line=line,
        product="p",
        captured_at=NOON,
        received_at=NOON + timedelta(seconds=number),
        mask_uri=f"s3://siad/masks/{number}.png",
        mask_sha256="c" * 64,
        weights=WeightsId(weights * 64),
        score=score,
        threshold=2.0,
        defect_ratio=0.0,
        regions=(),
        confidence=1.0,
    )


def batch(*events: PseudoMaskCreated, first: int = 10) -> Batch[PseudoMaskCreated]:
    records = [
        Record(topic_partition=PARTITION, offset=first + index, key=b"l/0", value=encode(one))
        for index, one in enumerate(events)
    ]
    return Batch(
        topic_partition=PARTITION, first=first, last=first + len(events) - 1, records=tuple(records), decoded=events
    )


def takers(blobs: MemoryBlobs, ledger: ParquetLedger | None = None) -> dict[str, Any]:
    """What the handler works with."""
    store = AsyncBlobs(blobs)
    return {"ledger": ledger or ParquetLedger(store), "deletions": AsyncDeletions(store)}


async def test_a_batch_is_one_file_for_each_line_named_by_its_offsets() -> None:
    blobs = MemoryBlobs()
    taken = batch(event(1), event(2, line="m"), event(3))
    assert await handlers.on_pseudo_masks(taken, **takers(blobs)) == []
    assert [info.key for info in blobs.list("ledger/")] == [
        "ledger/l/p/siad.pseudo-mask.v1-3-10-12.parquet",
        "ledger/m/p/siad.pseudo-mask.v1-3-11-11.parquet",
    ]


async def test_a_repeat_writes_the_same_bytes_under_the_same_name() -> None:
    blobs = MemoryBlobs()
    for _ in range(2):
        await handlers.on_pseudo_masks(batch(event(1), event(2)), **takers(blobs))
        [info] = blobs.list("ledger/")
        first = blobs.get(info.key).data
    assert blobs.get(info.key).data == first


async def test_offsets_wait_for_the_store() -> None:
    blobs = MemoryBlobs(down=True)
    with pytest.raises(TransientError):
        await handlers.on_pseudo_masks(batch(event(1)), **takers(blobs))


async def test_other_rows_at_the_same_offsets_replace_none_after_the_broker_was_lost() -> None:
    blobs = MemoryBlobs()
    ledger = ParquetLedger(AsyncBlobs(blobs))
    for first in (1, 3, 3):  # the new broker counts from zero again
        await handlers.on_pseudo_masks(batch(event(first), event(first + 1)), **takers(blobs, ledger))
    rows = rows_of(await ledger.read(LP))
    assert sorted(row.capture_id[-1] for row in rows) == ["1", "2", "3", "4"]


async def test_a_repeat_that_is_cut_elsewhere_counts_each_capture_once() -> None:
    blobs = MemoryBlobs()
    ledger = ParquetLedger(AsyncBlobs(blobs))
    await handlers.on_pseudo_masks(batch(event(1), event(2)), **takers(blobs, ledger))
    await handlers.on_pseudo_masks(batch(event(1), event(2, score=9.0), event(3)), **takers(blobs, ledger))
    files = await ledger.read(LP)
    rows = drop_repeats(rows_of(files))
    assert [(row.capture_id[-1], row.score) for row in rows] == [("1", 1.0), ("2", 1.0), ("3", 1.0)]
    assert fresh_captures(files, since=None) == 3


async def test_a_file_is_fetched_once_and_changes_are_read() -> None:
    blobs = MortalBlobs()
    ledger = ParquetLedger(AsyncBlobs(blobs))
    for first in range(0, 12, 2):
        await handlers.on_pseudo_masks(batch(event(first), event(first + 1), first=first), **takers(blobs, ledger))
    files = await ledger.read(LP)
    assert len(rows_of(files)) == 12
    blobs.reads.clear()
    again = await ledger.read(LP)
    assert all(a is b for a, b in zip(files, again, strict=True))
    await handlers.on_pseudo_masks(batch(event(12), first=12), **takers(blobs, ledger))
    blobs.delete(files[0].key)
    assert len(rows_of(await ledger.read(LP))) == 11
    assert [key for key in blobs.reads if key.startswith("ledger/")] == [
        "ledger/l/p/siad.pseudo-mask.v1-3-12-12.parquet"
    ]


async def test_of_very_many_rows_the_newest_and_a_sample_of_the_others_are_held() -> None:
    blobs = MemoryBlobs()
    ledger = ParquetLedger(AsyncBlobs(blobs), rows_max=400)
    for first in range(0, 2000, 50):
        marked = [
            replace(event(n, score=3.0), defect_ratio=0.1) if n % 20 == 0 else event(n)
            for n in range(first, first + 50)
        ]
        await handlers.on_pseudo_masks(batch(*marked, first=first), **takers(blobs, ledger))
        await ledger.read(LP)  # grows with the line
    held = rows_of(await ledger.read(LP))
    assert len(held) <= 400
    numbers = {int(row.capture_id, 16) for row in held}
    assert set(range(1800, 2000)) <= numbers
    older = [row for row in held if int(row.capture_id, 16) < 1800]
    assert sum(row.is_marked for row in older) == 90  # rare ones fit whole
    assert 50 <= sum(not row.is_marked for row in older) <= 100
    assert min(numbers) < 200  # of the line's whole past
    fresh = ParquetLedger(AsyncBlobs(blobs), rows_max=400)
    assert rows_of(await fresh.read(LP)) == held  # a new process holds the same


def forget(blobs: MemoryBlobs, number: int) -> None:
    one = event(number)
    record = CaptureDeletion(
        line="l", product="p", capture_id=one.capture_id, image_id=one.image_id, image_uri=one.image_uri,
        received_at=one.received_at, forgotten_at=NOON,
    )  # fmt: skip
    blobs.put(deletion_key("l", one.capture_id), record.to_json())


async def test_what_is_forgotten_is_neither_written_nor_read() -> None:
    blobs = MemoryBlobs()
    ledger = ParquetLedger(AsyncBlobs(blobs))
    await handlers.on_pseudo_masks(batch(event(1), event(2)), **takers(blobs, ledger))
    forget(blobs, 2)
    forget(blobs, 3)
    await handlers.on_pseudo_masks(batch(event(3), event(4), first=12), **takers(blobs, ledger))
    await handlers.on_pseudo_masks(batch(event(3), first=14), **takers(blobs, ledger))
    assert len(list(blobs.list("ledger/"))) == 2
    assert [row.capture_id for row in rows_of(await ledger.read(LP))] == [event(n).capture_id for n in (1, 4)]


async def test_a_line_that_was_forgotten_has_no_rows_from_before() -> None:
    blobs = MemoryBlobs()
    ledger = ParquetLedger(AsyncBlobs(blobs))
    await handlers.on_pseudo_masks(batch(*(event(number) for number in range(5))), **takers(blobs, ledger))
    before = LineDeletion(line="l", before_at=NOON + timedelta(seconds=2), forgotten_at=NOON)
    blobs.put(line_deletion_key("l"), before.to_json())
    assert [row.capture_id for row in rows_of(await ledger.read(LP))] == [event(n).capture_id for n in (3, 4)]


async def test_rows_taken_out_of_a_file_make_the_others_no_news() -> None:
    blobs = MemoryBlobs()
    ledger = ParquetLedger(AsyncBlobs(blobs))
    await handlers.on_pseudo_masks(batch(event(1), event(2)), **takers(blobs, ledger))
    [before] = await ledger.read(LP)
    for number in (1, 2):  # a file may be written again more than once
        left = erase_rows(blobs.get(before.key).data, {event(1).capture_id}, written_at=blobs_time(blobs, before.key))
        assert left is not None, number
        blobs.put(before.key, left)
    [after] = await ledger.read(LP)
    assert [row.capture_id for row in after.rows] == [event(2).capture_id]
    assert after.written_at == before.written_at
    assert blobs_time(blobs, before.key) > before.written_at


async def test_pseudo_masks_of_images_that_may_have_expired_are_not_replayed() -> None:
    blobs = MemoryBlobs()
    ledger = ParquetLedger(AsyncBlobs(blobs))
    days = [replace(event(number), received_at=NOON + timedelta(days=number)) for number in range(5)]
    await handlers.on_pseudo_masks(batch(*days), **takers(blobs, ledger))
    assert len(rows_of(await ledger.read(LP))) == 5
    blobs.put(expiry_key("l"), Expiry(images_from=(NOON + timedelta(days=3)).date()).to_json())
    assert [row.capture_id for row in rows_of(await ledger.read(LP))] == [event(n).capture_id for n in (3, 4)]


def blobs_time(blobs: MemoryBlobs, key: str) -> datetime:
    info = blobs.head(key)
    assert info is not None
    return info.modified_at


def test_fresh_are_captures_that_no_older_file_names() -> None:
    rows = [row_of(event(number)) for number in range(4)]
    old = LedgerFile(key="a", written_at=NOON, rows=(rows[0], rows[1]))
    new = LedgerFile(key="b", written_at=NOON + timedelta(seconds=1), rows=(replace(rows[1], weights="t2"), rows[2]))
    assert fresh_captures([old, new], since=None) == 3
    assert fresh_captures([old, new], since=NOON) == 1
    assert fresh_captures([old, new], since=NOON + timedelta(seconds=1)) == 0


def test_an_unknown_teacher_counts_as_older_than_all() -> None:
    rows = [row_of(event(1, weights=weights)) for weights in ("f", "a", "b")]
    assert [row.weights[0] for row in rows_of_newest_teacher(rows, ["b" * 64, "a" * 64])] == ["b"]
    assert [row.weights[0] for row in rows_of_newest_teacher(rows[:2], ["b" * 64])] == ["f"]  # both unknown: the first


def test_rows_come_back_as_they_were_and_equal_rows_give_equal_bytes() -> None:
    rows = [row_of(event(number, score=number / 3)) for number in range(5)]
    data = write_rows(LedgerRow, rows)
    assert read_rows(LedgerRow, data) == rows
    assert write_rows(LedgerRow, rows) == data
    assert read_rows(LedgerRow, write_rows(LedgerRow, [])) == []


def test_members_come_back_with_their_roles() -> None:
    member = TrainingMember(
        capture_id="a",
        image_id="b",
        image_uri="c",
        mask_uri="",
        mask_sha256="",
        role=MemberRole.NORMAL,
        use=MemberUse.CHECK,
        weight=0.25,
    )
    [back] = read_rows(TrainingMember, write_rows(TrainingMember, [member]))
    assert back == member
    assert isinstance(back.role, MemberRole)


def test_a_file_from_before_masks_had_a_confidence_reads_as_fully_believed() -> None:
    [row] = [row_of(event(1))]
    table = pq.ParquetFile(io.BytesIO(write_rows(LedgerRow, [replace(row, confidence=0.25)]))).read()
    sink = io.BytesIO()
    pq.write_table(table.drop_columns(["confidence"]), sink)
    assert read_rows(LedgerRow, sink.getvalue()) == [replace(row, confidence=1.0)]


@pytest.mark.parametrize("data", [b"", b"PAR1", write_rows(TrainingMember, [])])
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(CorruptError):
        read_rows(LedgerRow, data)
