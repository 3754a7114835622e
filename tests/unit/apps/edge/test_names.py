"""What names say: images, temporary files, serials and times."""

import re
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siad.apps.edge.names import FileKind, NameProblem, SerialPattern, kind_of, time_of
from siad.contracts.timestamps import EARLIEST
from tests.fuzzing import fuzzed

CEST = timezone(timedelta(hours=2))
NOON = datetime(2026, 5, 4, 12, tzinfo=CEST)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.png", FileKind.IMAGE),
        ("A.JPEG", FileKind.IMAGE),
        ("part.2.tif", FileKind.IMAGE),
        ("a.png.part", FileKind.TEMPORARY),
        ("a.TMP", FileKind.TEMPORARY),
        (".a.png", FileKind.TEMPORARY),
        ("~a.png", FileKind.TEMPORARY),
        ("a.png~", FileKind.TEMPORARY),
        ("notes.txt", FileKind.OTHER),
        ("raw.dng", FileKind.OTHER),
        ("frame", FileKind.UNNAMED),
        ("frame.0001", FileKind.UNNAMED),
    ],
)
def test_a_name_tells_what_to_expect(name: str, kind: FileKind) -> None:
    assert kind_of(name) is kind


README = r"(?P<serial>[A-Z0-9]+)_(?P<captured_at>[0-9-]+)"  # as in docs/use.md
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("name", "millis"),
    [
        ("SN42_20260504-120000.png", 0),
        ("SN42_20260504120000.png", 0),
        ("SN42_2026-05-04-12-00-00.png", 0),
        ("SN42_20260504120000123.png", 123),
        ("SN42_20260504-120000-123.png", 123),
        ("SN42_20260504-120000-7.png", None),  # 7 ms, or the seventh
        ("SN42_20260504-120000-0007.png", None),
        ("SN42_202605041200001.png", None),
        ("SN42_20260504.png", None),
        ("SN42_1200.png", None),
    ],
)
def test_the_pattern_of_the_documents_reads_a_time_or_says_that_it_is_none(name: str, millis: int | None) -> None:
    label = SerialPattern(README, zone=CEST).read(f"shift-1/{name}", written_at=None)
    assert label.serial == "SN42"
    if millis is not None:
        assert (label.captured_at, label.problem) == (NOON + timedelta(milliseconds=millis), None)
        return
    assert (label.captured_at, label.problem) == (None, NameProblem.NO_TIME)
    assert repr(name[5:-4]) in label.detail
    assert label.detail.endswith("sent with file time")


@pytest.mark.parametrize(
    ("text", "code", "bound"),
    [
        ("00010101000000", "past-time", "is before 2000-01-01T00:00:00+00:00, the earliest"),
        ("19700101-000000", "past-time", "is before 2000-01-01T00:00:00+00:00, the earliest"),
        ("22000101-020000", "future-time", "is not before 2200-01-01T00:00:00+00:00"),
        ("99991231235959", "future-time", "is not before 2200-01-01T00:00:00+00:00"),
    ],
)
def test_a_clock_far_off_is_refused_with_its_bound(text: str, code: str, bound: str) -> None:
    label = SerialPattern(README, zone=CEST).read(f"SN42_{text}.png", written_at=NOON)
    assert (label.captured_at, label.refusal) == (None, code)
    assert label.detail.startswith(f"in its name, {text!r} {bound}")
    assert "nothing was sent. Set the camera's clock" in label.detail


def test_a_name_that_does_not_match_says_so_and_nothing_else() -> None:
    label = SerialPattern(r"(?P<serial>SN\d+)_(?P<captured_at>\d+)?", zone=CEST).read("test.png", written_at=None)
    assert (label.serial, label.captured_at, label.problem) == ("", None, NameProblem.NO_SERIAL)
    assert "without a serial" in label.detail


SUMMER, WINTER = datetime(2026, 10, 25, 0, 30, tzinfo=UTC), datetime(2026, 10, 25, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("written_at", "moment", "words"),
    [
        (SUMMER + timedelta(seconds=2), SUMMER, "read as 02:30:00+0200, as its file time says"),
        (WINTER + timedelta(seconds=2), WINTER, "read as 02:30:00+0100, as its file time says"),
        (WINTER + timedelta(days=3), SUMMER, "read as 02:30:00+0200, the first of the two"),
        (None, SUMMER, "read as 02:30:00+0200, the first of the two"),
    ],
)
def test_in_the_repeated_hour_of_autumn_the_file_time_decides(
    written_at: datetime | None, moment: datetime, words: str
) -> None:
    label = SerialPattern(README, zone=BERLIN).read("A1_20261025-023000.png", written_at=written_at)
    assert (label.captured_at, label.problem) == (moment, NameProblem.REPEATED_HOUR)
    assert label.detail.startswith("in its name, '20261025-023000' is in the hour that Europe/Berlin repeats")
    assert words in label.detail


def test_the_missing_hour_of_spring_is_sent_with_file_time() -> None:
    label = SerialPattern(README, zone=BERLIN).read("A1_20260329-023000.png", written_at=NOON)
    assert (label.captured_at, label.problem) == (None, NameProblem.NO_TIME)
    assert "leaves out at the start of summer time" in label.detail


DAYS = st.integers(0, 73_000)
SECONDS = st.integers(0, 86_399)
ZONES = st.sampled_from(
    ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Kiritimati", "Australia/Lord_Howe"]
)
STYLES = st.sampled_from(["%Y%m%d-%H%M%S", "%Y%m%d%H%M%S", "%Y-%m-%d-%H-%M-%S", "%Y%m%d-%H%M%S-%f", "%Y%m%d%H%M%S%f"])


@fuzzed
@given(days=DAYS, seconds=SECONDS, millis=st.integers(0, 999), zone=ZONES, style=STYLES)
def test_a_camera_whose_clock_follows_its_zone_is_read_to_the_moment(
    days: int, seconds: int, millis: int, zone: str, style: str
) -> None:
    """Through every change of summer time, with the file written some seconds later."""
    moment = EARLIEST + timedelta(days=1 + days, seconds=seconds, milliseconds=millis if style.endswith("%f") else 0)
    name = f"A1734_{moment.astimezone(ZoneInfo(zone)):{style}}.png"
    label = SerialPattern(README, zone=ZoneInfo(zone)).read(name, written_at=moment + timedelta(seconds=3))
    assert (label.serial, label.captured_at) == ("A1734", moment)


NAMES = st.binary(max_size=20).map(lambda data: "".join(NAME_CHARS[byte % len(NAME_CHARS)] for byte in data))
NAME_CHARS = "0123456789012345678901234567890123456789-_-_.T/A "


@fuzzed
@given(head=st.sampled_from(["A1_20261123", "A1_2026-11-23", "A1_", "7_20261123101500"]), tail=NAMES)
def test_no_name_gives_a_time_that_it_does_not_write(head: str, tail: str) -> None:
    label = SerialPattern(r"(?P<serial>\w+?)_(?P<captured_at>[0-9_.T-]+)", zone=UTC).read(head + tail, written_at=None)
    if label.captured_at is not None:
        written = re.sub(r"\D", "", re.search(r"_([0-9_.T-]+)", head + tail)[1])  # type: ignore[index] # it matched
        assert f"{label.captured_at:%Y%m%d%H%M%S%f}".startswith(written[:20])


@pytest.mark.parametrize(("pattern", "said"), [("(", "not a regular expression"), (r"SN\d+", "no group 'serial'")])
def test_a_pattern_that_can_not_work_is_refused_at_once(pattern: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SerialPattern(pattern, zone=CEST)


def test_a_files_time_is_told_to_the_microsecond() -> None:
    assert time_of(1_777_888_800_123_456_789) == datetime(2026, 5, 4, 10, 0, 0, 123_456, tzinfo=UTC)
    assert time_of(2**63) is not None
    assert time_of(10**30) is None
