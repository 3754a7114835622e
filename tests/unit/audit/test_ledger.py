"""The capture ledger against a slow recount, in any order, with repeats and crashes."""

import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siad.audit.ledger import BUCKET_S, BURIED_MAX, NAMES_MAX, CaptureLedger, CapturesDocument, line_of_key, place_name
from siad.audit.snapshot import LedgerSnapshot
from siad.contracts.errors import CorruptError
from siad.contracts.events import DeadLetter, Decision, ImageStored, Intent, Origin, VerdictGiven, WeightsKind
from siad.contracts.ids import CaptureId, ImageId

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
URI = "s3://siad/images/l/2026-01-01/x.png"


def name(number: int) -> CaptureId:
    return CaptureId(f"{number * 7919 % 2**32:08x}" + f"{number:024x}")


def image(number: int, *, line: str = "l", after_s: float = 0.0, intent: Intent = Intent.INSPECT) -> ImageStored:
    at = NOON + timedelta(seconds=after_s)
    return ImageStored(
        capture_id=name(number), image_id=ImageId("a" * 64), image_uri=URI, size_bytes=1, line=line, product="p",
        line_revision=1, captured_at=at, received_at=at, intent=intent, serial="",
    )  # fmt: skip


def verdict(of: ImageStored) -> VerdictGiven:
    return VerdictGiven(
        capture_id=of.capture_id, image_id=of.image_id, image_uri=of.image_uri, line=of.line, product=of.product,
        line_revision=1, captured_at=of.captured_at, received_at=of.received_at, serial="", decision=Decision.UNKNOWN,
        reason="late", score=0.0, threshold=0.0, regions=(), mask_uri="", weights="",
        weights_kind=WeightsKind.UNSPECIFIED, origin=Origin.STREAM, judged_at=of.received_at, wait_s=0.0, fetch_s=0.0,
        score_s=0.0,
    )  # fmt: skip


def letter(offset: int = 0, key: bytes = b"l/0") -> DeadLetter:
    return DeadLetter(
        topic="siad.image.v1", partition=0, offset=offset, key=key, payload=b"?", kind="poison", reason="bad",
        buried_at=NOON,
    )  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """One record of the three topics."""

    kind: str  # image, verdict, letter, unreadable, unreadable-letter
    number: int
    line: str


def enter(books: CaptureLedger, one: Seen) -> None:
    event = image(one.number, line=one.line, after_s=one.number * 50.0)
    match one.kind:
        case "image":
            books.on_image(event)
        case "normal":
            books.on_image(replace(event, intent=Intent.NORMAL))
        case "verdict":
            books.on_verdict(verdict(event))
        case "letter":
            books.on_letter(letter(), event)
        case "unreadable":
            books.on_unreadable(f"{one.line}/0".encode(), place_name("t", 0, one.number), at_s=NOON.timestamp())
        case _:
            bad = replace(letter(one.number, f"{one.line}/0".encode()), topic="t")
            books.on_letter(bad, None)


def recount(records: list[Seen]) -> dict[str, tuple[int, int, int, int, int]]:
    """Received, verdicts, waiting, dead letters, normals: by sets of names, all records in memory."""
    counts = {}
    for line in {one.line for one in records}:
        kinds = {kind: {one.number for one in records if (one.kind, one.line) == (kind, line)} for kind in KINDS}
        judged = kinds["verdict"]
        buried = kinds["letter"] - judged
        waiting = kinds["image"] - judged - buried
        bad = kinds["unreadable-letter"]
        bad_waiting = kinds["unreadable"] - bad
        parts = len(judged), len(waiting) + len(bad_waiting), len(buried) + len(bad)
        counts[line] = (sum(parts), *parts, len(kinds["normal"]))
    return counts


KINDS = ("image", "normal", "verdict", "letter", "unreadable", "unreadable-letter")


def counted(books: CaptureLedger) -> dict[str, tuple[int, int, int, int, int]]:
    pages = books.lines.items()
    return {line: (p.received, p.verdict, len(p.waiting), p.dead_letter, p.normal) for line, p in pages}


@st.composite
def diaries(draw: st.DrawFn) -> list[Seen]:
    """Captures of two lines with what became of each, some records twice, in any order."""
    records = []
    for number in range(draw(st.integers(0, 12))):
        line = draw(st.sampled_from(["l", "m"]))
        fates = [["image"], ["image", "verdict"], ["image", "letter"], ["image", "letter", "verdict"], ["verdict"]]
        bad: list[list[str]] = [["normal"], ["unreadable"], ["unreadable", "unreadable-letter"]]
        for kind in draw(st.sampled_from(fates + bad)):
            records += [Seen(kind, number, line)] * draw(st.integers(1, 3))
    return draw(st.permutations(records))


@settings(max_examples=150, deadline=None)
def stored(books: CaptureLedger) -> bytes:
    return books.to_document().to_json()


def restored(data: bytes) -> CaptureLedger:
    return CaptureLedger.of_document(CapturesDocument.from_json(data))


@given(diaries(), st.integers(0, 2**16))
def test_any_order_repeats_and_crashes_give_the_books_of_a_slow_recount(records: list[Seen], seed: int) -> None:
    chance, books, kept, at = random.Random(seed), CaptureLedger(), stored(CaptureLedger()), 0
    position = 0
    while position < len(records):
        enter(books, records[position])
        position += 1
        assert all(page.is_balanced for page in books.lines.values())
        if chance.random() < 0.2:
            kept, at = stored(books), position  # a snapshot, and the commit behind it
        elif chance.random() < 0.2:
            books, position = restored(kept), at  # killed; another reads on from the commit
    assert counted(books) == recount(records)


def test_a_verdict_settles_who_waits() -> None:
    books = CaptureLedger()
    for number in range(3):
        books.on_image(image(number))
    books.on_verdict(verdict(image(1)))
    report = books.report("l", now_s=NOON.timestamp() + 61, after_s=60)
    assert (report.received, report.verdict, report.waiting, report.missing) == (3, 1, 2, 2)
    assert set(report.missing_names) == {name(0), name(2)}


@pytest.mark.parametrize(("waited_s", "missing"), [(60, 0), (60.1, 1)])
def test_missing_is_who_waits_longer_than_the_bound(waited_s: float, missing: int) -> None:
    books = CaptureLedger()
    books.on_image(image(0))
    report = books.report("l", now_s=NOON.timestamp() + waited_s, after_s=60)
    assert (report.waiting, report.missing) == (1, missing)


def test_the_longest_waiting_are_named_first_and_not_all_of_them() -> None:
    books = CaptureLedger()
    for number in reversed(range(NAMES_MAX + 5)):
        books.on_image(image(number, after_s=number))
    report = books.report("l", now_s=NOON.timestamp() + 1000, after_s=60)
    assert report.missing == NAMES_MAX + 5
    assert report.missing_names == tuple(name(number) for number in range(NAMES_MAX))


def test_a_buried_capture_that_is_judged_after_all_counts_as_a_verdict() -> None:
    books = CaptureLedger()
    books.on_image(image(0))
    books.on_letter(letter(), image(0))
    assert counted(books)["l"] == (1, 0, 0, 1, 0)
    books.on_verdict(verdict(image(0)))
    assert counted(books)["l"] == (1, 1, 0, 0, 0)


def test_a_verdict_that_tells_another_time_settles_the_capture_by_the_images() -> None:
    """Of an image's event that can be read in part, the time is made up."""
    books = CaptureLedger()
    books.on_image(image(0))
    books.on_verdict(verdict(image(0, after_s=2 * BUCKET_S)))
    books.on_image(image(0))
    assert counted(books)["l"] == (1, 1, 0, 0, 0)


def test_a_repeat_long_after_is_not_counted_again_though_its_name_is_forgotten() -> None:
    books = CaptureLedger()
    books.on_image(image(0))
    books.on_verdict(verdict(image(0)))
    books.advance(NOON.timestamp() + 3 * BUCKET_S, window_s=BUCKET_S)
    assert books.settled == 0
    books.on_image(image(0))
    books.on_verdict(verdict(image(0)))
    assert counted(books)["l"] == (1, 1, 0, 0, 0)
    assert books.lines["l"].stale == 1


def test_who_waits_is_known_by_name_past_the_horizon() -> None:
    books = CaptureLedger()
    books.on_image(image(0))
    books.advance(NOON.timestamp() + 86_400, window_s=BUCKET_S)
    books.on_image(image(0))
    books.on_verdict(verdict(image(0)))
    assert counted(books)["l"] == (1, 1, 0, 0, 0)


def test_memory_holds_the_open_captures_and_those_inside_the_window() -> None:
    books, window_s = CaptureLedger(), 2 * BUCKET_S
    for number in range(2000):  # one every ten seconds, five and a half hours
        books.on_image(image(number, after_s=10 * number))
        books.on_verdict(verdict(image(number, after_s=10 * number)))
        books.advance(NOON.timestamp() + 10 * number, window_s=window_s)
    assert books.settled <= (window_s + BUCKET_S) / 10 + 1
    assert counted(books)["l"] == (2000, 2000, 0, 0, 0)


def test_the_oldest_of_very_many_dead_letters_stay_counted() -> None:
    books = CaptureLedger()
    for number in range(BURIED_MAX + 7):
        books.on_letter(letter(), image(number))
    assert (len(books.lines["l"].buried), books.lines["l"].dead_letter) == (BURIED_MAX, BURIED_MAX + 7)
    assert books.lines["l"].is_balanced


def test_a_forgotten_capture_was_not_received() -> None:
    books = CaptureLedger()
    books.on_image(image(0))
    books.on_erased("l", name(0))
    books.on_erased("l", name(0))
    books.on_image(image(0))  # the bus remembers it
    assert counted(books)["l"] == (0, 0, 0, 0, 0)


@pytest.mark.parametrize(("key", "line"), [(b"plant-1/3", "plant-1"), (b"\xff/3", "?"), (b"", "?"), (b"A B/1", "?")])
def test_a_key_that_names_no_line_goes_under_a_question_mark(key: bytes, line: str) -> None:
    assert line_of_key(key) == line


def test_a_snapshot_reads_back_as_it_was() -> None:
    books = CaptureLedger()
    for number in range(20):
        books.on_image(image(number, after_s=number * 100))
        if number % 2:
            books.on_verdict(verdict(image(number, after_s=number * 100)))
    snapshot = LedgerSnapshot(ledger=books, as_of=NOON + timedelta(hours=1), behind=3, missing_after_s={"l": 60.0})
    assert LedgerSnapshot.from_json(snapshot.to_json()) == snapshot


@pytest.mark.parametrize("data", [b"", b"[]", b'{"books": {"lines": {"l": {}}}}', b'{"as_of": 1}'])
def test_what_is_no_snapshot_is_refused(data: bytes) -> None:
    with pytest.raises(CorruptError, match="are not a LedgerDocument"):
        LedgerSnapshot.from_json(data)
