"""The reader of lines: settings, normals and receipts as ingest stores them."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from siad.contracts import keys
from siad.contracts.documents import LineState, write_line, write_receipt
from siad.contracts.errors import CorruptError, DeniedError, MissingError
from siad.contracts.events import ImageStored, Intent, LineChanged
from siad.contracts.ids import CaptureId, ImageId
from siad.contracts.place import Place
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.blobs.port import Blob
from siad.runtime.store.lines import StoredLines

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
PLACE = Place("press-1", "lid")
SETTINGS = LineChanged(
    line="press-1", revision=3, product="lid", false_reject_budget=0.01, shards=4, deadline_s=0.0, changed_at=NOON
)


@dataclass(slots=True)
class CountingBlobs(MemoryBlobs):
    """Remembers which objects were read."""

    read: list[str] = field(default_factory=list)

    def get(self, key: str) -> Blob:
        self.read.append(key)
        return MemoryBlobs.get(self, key)


def receipt(number: int, *, intent: Intent = Intent.NORMAL) -> ImageStored:
    return ImageStored(
        capture_id=CaptureId(f"{number:032x}"),
        image_id=ImageId(f"{number:064x}"),
        image_uri="s3://siad/images/press-1/2026-05-04/x.png",
        size_bytes=7,
        line="press-1",
        product="lid",
        line_revision=3,
        captured_at=NOON,
        received_at=NOON + timedelta(seconds=number),
        intent=intent,
        serial="",
    )


def add_normal(blobs: MemoryBlobs, number: int) -> str:
    key = keys.normal_key("press-1", "lid", receipt(number).capture_id)
    blobs.put(key, write_receipt(receipt(number)))
    return key


@pytest.fixture
def blobs() -> CountingBlobs:
    return CountingBlobs()


@pytest.fixture
def lines(blobs: CountingBlobs) -> StoredLines:
    return StoredLines(AsyncBlobs(blobs, workers=2))


async def test_settings_are_those_of_the_pointer(blobs: CountingBlobs, lines: StoredLines) -> None:
    assert await lines.settings("press-1") is None
    etag = blobs.put(keys.line_pointer_key("press-1"), write_line(LineState(settings=SETTINGS)))
    assert await lines.settings("press-1") == SETTINGS
    assert await lines.pointer("press-1") == (LineState(settings=SETTINGS), etag)
    assert await lines.names() == ["press-1"]


async def test_an_ended_line_has_no_settings_and_keeps_its_pointer(blobs: CountingBlobs, lines: StoredLines) -> None:
    blobs.put(keys.line_pointer_key("press-1"), write_line(LineState(settings=SETTINGS, is_gone=True)))
    assert await lines.settings("press-1") is None
    found = await lines.pointer("press-1")
    assert found is not None
    assert found[0].is_gone


async def test_a_damaged_pointer_is_not_taken_for_no_line(blobs: CountingBlobs, lines: StoredLines) -> None:
    blobs.put(keys.line_pointer_key("press-1"), b"{}")
    with pytest.raises(CorruptError):
        await lines.settings("press-1")


async def test_a_revision_is_read_or_missing(blobs: CountingBlobs, lines: StoredLines) -> None:
    blobs.put(keys.line_revision_key("press-1", 2), write_line(LineState(settings=replace(SETTINGS, revision=2))))
    assert (await lines.revision("press-1", 2)).revision == 2
    with pytest.raises(MissingError):
        await lines.revision("press-1", 9)


async def test_normals_are_read_once_and_again_where_they_changed(blobs: CountingBlobs, lines: StoredLines) -> None:
    for number in (2, 1):
        add_normal(blobs, number)
    damaged = add_normal(blobs, 3)
    blobs.put(damaged, b"torn")
    assert await lines.normals(PLACE) == [receipt(1), receipt(2)]
    blobs.read.clear()
    assert await lines.normals(PLACE) == [receipt(1), receipt(2)]
    assert blobs.read == []  # neither the good ones nor the damaged one
    blobs.put(damaged, write_receipt(receipt(3)))
    assert await lines.normals(PLACE) == [receipt(1), receipt(2), receipt(3)]
    assert blobs.read == [damaged]


async def test_an_erased_normal_is_not_kept_in_memory(blobs: CountingBlobs, lines: StoredLines) -> None:
    key = add_normal(blobs, 1)
    assert await lines.normals(PLACE) == [receipt(1)]
    blobs.delete(key)
    assert await lines.normals(PLACE) == []
    assert await lines.normal_names(PLACE) == []
    assert lines._normals[PLACE] == {}


async def test_places_are_those_with_a_normal(blobs: CountingBlobs, lines: StoredLines) -> None:
    add_normal(blobs, 1)
    blobs.put(keys.normal_key("a", "b", "0" * 32), b"")
    blobs.put("normals/readme", b"")
    assert await lines.places_with_normals() == [Place("a", "b"), PLACE]


async def test_denied_access_is_not_taken_for_no_line(blobs: CountingBlobs, lines: StoredLines) -> None:
    blobs.denied = True
    for call in (lines.settings("press-1"), lines.normals(PLACE), lines.names(), lines.revision("press-1", 1)):
        with pytest.raises(DeniedError):
            await call


async def test_the_newest_captures_that_are_wanted(blobs: CountingBlobs, lines: StoredLines) -> None:
    for number in range(5):
        one = receipt(number, intent=Intent.INSPECT if number % 2 else Intent.NORMAL)
        blobs.put(keys.capture_key("press-1", one.capture_id), write_receipt(one))
    found = await lines.captures("press-1", wanted=lambda one: one.intent is Intent.NORMAL, newest=2)
    assert [one.capture_id for one in found] == [receipt(2).capture_id, receipt(4).capture_id]
