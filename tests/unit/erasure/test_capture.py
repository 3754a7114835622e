"""Forgetting captures and lines: what goes, what stays, and that a run cut off anywhere is finished by the next."""

import io
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siad.contracts import keys
from siad.contracts.deletion import CaptureDeletion, LineDeletion
from siad.contracts.documents import LineState, write_line, write_receipt
from siad.contracts.errors import CorruptError, MissingError
from siad.contracts.events import ImageStored, Intent, LineChanged
from siad.contracts.ids import CaptureId, image_id_of
from siad.contracts.place import Place
from siad.contracts.stream_scores import StreamScore, StreamScores
from siad.erasure import capture as forgetting
from siad.erasure.capture import erase_captures, find_capture, find_remains, find_serial
from siad.erasure.deletions import Deletions
from siad.erasure.line import erase_line, find_line_remains
from siad.erasure.rows import count_rows, erase_rows
from siad.erasure.weights import captures_of_training_set
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.testing.diary import ProcessKilled
from siad.runtime.testing.mortal import MortalBlobs

NOW = datetime.now(UTC)
LINE = "cam-1"


@pytest.fixture(autouse=True, scope="module")
def _few_threads() -> Iterator[None]:
    """A thread takes longer to begin than the store in memory to answer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forgetting, "READS_MAX", 2)
        yield


def name(number: int) -> CaptureId:
    return CaptureId(f"{number:032x}")


def add(blobs: MemoryBlobs, number: int, *, data: bytes = b"", **changes: Any) -> ImageStored:
    """A capture with all that can be of it: image, receipt, two masks, a correction, perhaps the word normal."""
    data = data or f"image {number}".encode()
    image_id = image_id_of(data)
    where = keys.image_key(LINE, NOW, image_id, "png")
    event = ImageStored(
        capture_id=name(number), image_id=image_id, image_uri=blobs.uri(where), size_bytes=len(data), line=LINE,
        product="p", line_revision=1, captured_at=NOW, received_at=NOW,
        **{"intent": Intent.INSPECT, "serial": f"part-{number // 2}"} | changes,
    )  # fmt: skip
    blobs.put(where, data)
    blobs.put(keys.capture_key(LINE, event.capture_id), write_receipt(event))
    for weights in ("a" * 64, "b" * 64):
        blobs.put(keys.mask_key(LINE, event.capture_id, weights), b"mask")
    blobs.put(keys.correction_key(LINE, event.capture_id, 1), b"record")
    blobs.put(keys.correction_mask_key(LINE, event.capture_id, "f" * 64), b"mask of a person")
    if event.intent is Intent.NORMAL:
        blobs.put(keys.normal_key(LINE, "p", event.capture_id), write_receipt(event))
    return event


def add_ledger(blobs: MemoryBlobs, first: int, *numbers: int) -> str:
    key = keys.ledger_key(Place(LINE, "p"), "siad.pseudo-mask.v1", 0, first, first + len(numbers) - 1)
    sink = io.BytesIO()
    pq.write_table(pa.table({"capture_id": [name(n) for n in numbers], "score": [float(n) for n in numbers]}), sink)
    blobs.put(key, sink.getvalue())
    return key


def plant() -> MortalBlobs:
    """Six captures, of which 1 and 5 have equal bytes, 4 is a normal; a ledger of two files."""
    return MortalBlobs(_objects=dict(_planted()._objects))


def bytes_of(number: int) -> bytes:
    return b"stuck camera" if number in (1, 5) else f"image {number}".encode()


@cache
def _planted() -> MemoryBlobs:
    blobs = MemoryBlobs()
    for number in range(6):
        add(blobs, number, data=bytes_of(number), intent=Intent.NORMAL if number == 4 else Intent.INSPECT)
    add_ledger(blobs, 0, 0, 1, 2, 3)
    add_ledger(blobs, 4, 2, 3)
    return blobs


Content = dict[str, object]


def content(blobs: MemoryBlobs) -> Content:
    """Every object; ledgers as the captures of their rows, records without their moment."""
    found: Content = {}
    for info in blobs.list(""):
        data = blobs.get(info.key).data
        if info.key.startswith("ledger/"):
            found[info.key] = captures_of(data)
        elif info.key.startswith("deletions/") and not info.key.endswith("_line.json"):
            found[info.key] = CaptureDeletion.from_json(data).capture_id
        else:
            found[info.key] = b"" if info.key.startswith("deletions/") else data
    return found


@cache
def captures_of(ledger: bytes) -> list[str]:
    captures: list[str] = pq.read_table(io.BytesIO(ledger)).column("capture_id").to_pylist()
    return captures


Find = Callable[[MemoryBlobs], list[CaptureDeletion]]


def forget(blobs: MemoryBlobs, find: Find) -> None:
    deletions = find(blobs)
    if deletions:
        erase_captures(blobs, find_remains(blobs, LINE, deletions))


def by_capture(number: int) -> Find:
    return lambda blobs: find_capture(blobs, LINE, name(number), now=NOW)


def by_serial(serial: str) -> Find:
    return lambda blobs: find_serial(blobs, LINE, serial, now=NOW)


def named(blobs: MemoryBlobs, number: int) -> list[str]:
    """Keys that name a capture, its record apart; and ledger files with a row of it."""
    rows = [key for key, value in content(blobs).items() if isinstance(value, list) and name(number) in value]
    return rows + [i.key for i in blobs.list("") if name(number) in i.key and not i.key.startswith("deletions/")]


def test_everything_that_names_the_capture_goes_and_nothing_else() -> None:
    blobs = plant()
    before = content(blobs)
    forget(blobs, by_capture(2))
    after = content(blobs)
    assert named(blobs, 2) == []
    assert after.pop(keys.deletion_key(LINE, name(2))) == name(2)
    gone = before.keys() - after.keys()
    assert gone == {key for key in before if name(2) in key} | {
        keys.image_key(LINE, NOW, image_id_of(b"image 2"), "png")
    }
    changed = {key for key in after if after[key] != before[key]}
    assert changed == {key for key in after if key.startswith("ledger/")}


def test_bytes_that_another_capture_has_stay_until_it_is_erased_too() -> None:
    blobs = plant()
    shared = keys.image_key(LINE, NOW, image_id_of(b"stuck camera"), "png")
    remains = find_remains(blobs, LINE, by_capture(1)(blobs))
    assert (remains.images, remains.shared) == ((), (shared,))
    forget(blobs, by_capture(1))
    assert blobs.head(shared) is not None
    forget(blobs, by_capture(5))
    assert blobs.head(shared) is None


def test_bytes_that_only_a_normal_still_names_stay() -> None:
    """Retention took the normal's receipt; the word that it is normal is enough."""
    blobs = plant()
    add(blobs, 6, data=b"same", intent=Intent.NORMAL)
    add(blobs, 7, data=b"same")
    blobs.delete(keys.capture_key(LINE, name(6)))
    forget(blobs, by_capture(7))
    assert blobs.head(keys.image_key(LINE, NOW, image_id_of(b"same"), "png")) is not None


def test_a_serial_is_every_capture_of_the_part() -> None:
    blobs = plant()
    forget(blobs, by_serial("part-1"))
    assert [named(blobs, number) == [] for number in range(6)] == [False, False, True, True, False, False]
    assert not any(key.startswith(f"ledger/{LINE}/p/siad.pseudo-mask.v1-0-4") for key in content(blobs))


def test_an_erased_capture_leaves_nothing_to_do() -> None:
    blobs = plant()
    forget(blobs, by_capture(2))
    assert find_remains(blobs, LINE, by_capture(2)(blobs)).is_empty
    assert by_serial("part-7")(blobs) == []
    with pytest.raises(MissingError):
        blobs.get(keys.capture_key(LINE, name(2)))


@pytest.mark.parametrize("find", [by_capture(1), by_serial("part-1"), by_serial("part-2")], ids=["1", "2, 3", "4, 5"])
def test_a_run_that_was_cut_off_at_any_change_is_finished_by_the_next(find: Find) -> None:
    whole = plant()
    forget(whole, find)
    wanted, changes, is_through = content(whole), 0, False
    while not is_through:
        blobs = plant()
        is_through = dies_after(changes, blobs, find)
        forget(blobs, find)
        assert content(blobs) == wanted, f"died after {changes} changes"
        changes += 1
    assert changes > 5


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=2, max_size=4))
def test_it_may_be_cut_off_again_and_again(deaths: list[int]) -> None:
    find, whole, blobs = by_serial("part-1"), plant(), plant()
    forget(whole, find)
    for changes in deaths:
        dies_after(changes, blobs, find)
        assert recorded_before_gone(blobs)
    forget(blobs, find)
    assert content(blobs) == content(whole)


def dies_after(changes: int, blobs: MortalBlobs, find: Find) -> bool:
    """Forget until so many changes are made; True where that was all."""
    blobs.lives = changes
    try:
        forget(blobs, find)
    except ProcessKilled:
        return False
    finally:
        blobs.lives = 10**9
    return True


def recorded_before_gone(blobs: MemoryBlobs) -> bool:
    """A receipt or row whose image is deleted has a deletion record."""
    erased = Deletions(blobs).read(LINE)
    there = content(blobs)
    for number in range(6):
        receipt, image = (
            keys.capture_key(LINE, name(number)),
            keys.image_key(LINE, NOW, image_id_of(bytes_of(number)), "png"),
        )
        is_whole = receipt in there and image in there and len(named(blobs, number)) >= 4
        if not is_whole and name(number) not in erased.captures:
            return False
    return True


def end(blobs: MemoryBlobs, *, is_gone: bool = True) -> None:
    line = LineChanged(
        line=LINE, revision=2, product="p", false_reject_budget=0.1, shards=1, deadline_s=0, changed_at=NOW
    )
    blobs.put(keys.line_pointer_key(LINE), write_line(LineState(settings=line, is_gone=is_gone)))


def test_a_line_that_still_takes_images_is_refused() -> None:
    blobs = plant()
    end(blobs, is_gone=False)
    with pytest.raises(ValueError, match="siad line delete cam-1"):
        find_line_remains(blobs, LINE)


def test_of_a_line_its_settings_and_weights_stay() -> None:
    blobs = plant()
    end(blobs)
    blobs.put(f"weights/{LINE}/p/{'a' * 64}.json", b"{}")
    blobs.put(f"images/{LINE}-2/2026-01-01/x.png", b"another line's")
    blobs.put(keys.threshold_key(LINE, "p", "a" * 64), b"from answers about erased captures")
    erase_line(blobs, find_line_remains(blobs, LINE), now=NOW)
    left = [info.key for info in blobs.list("")]
    assert left == sorted([
        keys.line_deletion_key(LINE), keys.line_pointer_key(LINE), f"weights/{LINE}/p/{'a' * 64}.json",
        f"images/{LINE}-2/2026-01-01/x.png",
    ])  # fmt: skip
    assert Deletions(blobs).read(LINE).covers(name(0), NOW)
    assert not Deletions(blobs).read(LINE).covers(name(0), NOW + timedelta(seconds=1))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 60))
def test_a_line_cut_off_anywhere_is_finished_and_its_record_came_first(lives: int) -> None:
    blobs = plant()
    end(blobs)
    blobs.lives = lives
    try:
        erase_line(blobs, find_line_remains(blobs, LINE), now=NOW)
    except ProcessKilled:
        assert lives == 0 or blobs.head(keys.line_deletion_key(LINE)) is not None
    blobs.lives = 10**9
    erase_line(blobs, find_line_remains(blobs, LINE), now=NOW)
    assert [i.key for i in blobs.list("")] == [keys.line_deletion_key(LINE), keys.line_pointer_key(LINE)]


def test_a_line_made_anew_keeps_its_own_when_the_old_ones_deletion_is_finished() -> None:
    blobs = plant()
    end(blobs)
    blobs.lives = 5
    with pytest.raises(ProcessKilled):
        erase_line(blobs, find_line_remains(blobs, LINE), now=NOW)
    blobs.lives = 10**9
    end(blobs, is_gone=False)
    new = add(blobs, 9)
    erase_line(blobs, find_line_remains(blobs, LINE), now=NOW)
    assert len(named(blobs, 9)) == 5
    assert blobs.head(blobs.key_of(new.image_uri)) is not None
    assert all(named(blobs, number) == [] for number in range(6))


def test_the_bound_of_an_erased_line_only_moves_on() -> None:
    blobs = plant()
    end(blobs)
    for days in (0, 2, 1):
        erase_line(blobs, find_line_remains(blobs, LINE), now=NOW + timedelta(days=days))
    record = LineDeletion.from_json(blobs.get(keys.line_deletion_key(LINE)).data)
    assert record.before_at == NOW + timedelta(days=2)


def test_a_line_record_that_cannot_be_read_is_not_taken_for_none() -> None:
    blobs = MemoryBlobs()
    blobs.put(keys.line_deletion_key(LINE), b"{}")
    with pytest.raises(CorruptError, match="not a LineDeletion"):
        Deletions(blobs).read(LINE)


def test_rows_are_counted_and_taken_out() -> None:
    blobs = MemoryBlobs()
    data = blobs.get(add_ledger(blobs, 0, 1, 2, 1)).data
    assert count_rows(data, {name(1), name(7)}) == 2
    left = erase_rows(data, {name(1)}, written_at=NOW)
    assert left is not None
    assert pq.read_table(io.BytesIO(left)).to_pydict() == {"capture_id": [name(2)], "score": [2.0]}
    assert erase_rows(data, {name(1), name(2)}, written_at=NOW) is None


def test_scores_of_an_erased_capture_go_and_the_others_stay() -> None:
    blobs = plant()
    rows = tuple(
        StreamScore(
            capture_id=name(number),
            received_at=NOW,
            weights="a" * 12,
            score=1.0,
            threshold=2.0,
            defect_ratio=0,
            regions=0,
        )
        for number in range(3)
    )
    key = keys.stream_scores_key(LINE, "p")
    blobs.put(key, StreamScores(captures=3, rows=rows).to_json())
    remains = find_remains(blobs, LINE, find_capture(blobs, LINE, name(1), now=NOW))
    assert remains.scores == ((key, 1),)
    erase_captures(blobs, remains)
    left = StreamScores.from_json(blobs.get(key).data)
    assert [row.capture_id for row in left.rows] == [name(0), name(2)]
    assert find_remains(blobs, LINE, remains.deletions).is_empty


def test_a_training_set_without_a_list_of_captures_is_not_known_to_be_clean() -> None:
    blobs = MemoryBlobs()
    assert captures_of_training_set(blobs, LINE, "p", "d" * 64) is None
    blobs.put(keys.training_set_members_key(LINE, "p", "d" * 64), b'{"captures": ["a"], "images": []}')
    assert captures_of_training_set(blobs, LINE, "p", "d" * 64) == {"a"}
