"""What names say: images, temporary files, serials and times."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from siad.apps.edge.names import FileKind, SerialPattern, kind_of, read_time, time_of

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


@pytest.mark.parametrize(
    "text",
    [
        "2026-05-04T12:00:00+02:00",
        "2026-05-04T10:00:00Z",
        "2026-05-04 12:00:00",
        "20260504T120000",
        "20260504_120000",
        "20260504120000",
        "2026-05-04_12-00-00",
        "2026.05.04-12.00.00",
    ],
)
def test_times_are_read_as_names_have_them(text: str) -> None:
    assert read_time(text, zone=CEST) == NOON


def test_digits_after_the_second_are_its_fraction() -> None:
    assert read_time("2026-05-04_12-00-00.25", zone=CEST) == NOON + timedelta(milliseconds=250)


@pytest.mark.parametrize("text", ["", "noon", "20260504", "20261304120000", "2026-05-04"])
def test_what_is_no_time_is_none(text: str) -> None:
    assert read_time(text, zone=CEST) is None


def test_a_pattern_reads_serial_and_time() -> None:
    pattern = SerialPattern(r"(?P<serial>SN\d+)_(?P<captured_at>[\d-]+)", zone=CEST)
    label = pattern.read("shift-1/SN42_20260504-120000.png")
    assert (label.serial, label.captured_at, label.problem) == ("SN42", NOON, "")


def test_a_name_that_does_not_match_says_so_and_nothing_else() -> None:
    label = SerialPattern(r"(?P<serial>SN\d+)_(?P<captured_at>\d+)?").read("test.png")
    assert (label.serial, label.captured_at) == ("", None)
    assert "without a serial" in label.problem


def test_a_time_that_is_none_leaves_the_serial() -> None:
    label = SerialPattern(r"(?P<serial>SN\d+)_(?P<captured_at>\w+)").read("SN1_noon.png")
    assert (label.serial, label.captured_at) == ("SN1", None)
    assert "'noon'" in label.problem


@pytest.mark.parametrize(("pattern", "said"), [("(", "not a regular expression"), (r"SN\d+", "no group 'serial'")])
def test_a_pattern_that_can_not_work_is_refused_at_once(pattern: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SerialPattern(pattern)


def test_a_files_time_is_told_to_the_microsecond() -> None:
    assert time_of(1_777_888_800_123_456_789) == datetime(2026, 5, 4, 10, 0, 0, 123_456, tzinfo=UTC)
    assert time_of(2**63) is not None
    assert time_of(10**30) is None
