"""A timestamp is read as the moment that it writes, or refused."""

import re
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from siad.contracts.timestamps import (
    EARLIEST,
    LATEST,
    LocalTime,
    TimestampError,
    TimestampFault,
    read_local_time,
    read_moment,
)
from tests.fuzzing import fuzzed

CEST = timezone(timedelta(hours=2))
BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2026, 5, 4, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("2026-05-04T10:00:00Z", 0),
        ("2026-05-04t10:00z", 0),
        ("2026-05-04 12:00:00 +02:00", 0),
        ("20260504T050000-0500", 0),
        ("2026-05-04T12:00:00+02", 0),
        ("20260504100000Z", 0),
        ("2026-05-04_12-00-00.5+02:00", 500_000),
        ("2026-05-04T10:00:00,123456789Z", 123_456),
        ("20260504100000123Z", 123_000),
    ],
)
def test_a_time_with_a_zone_is_one_moment(text: str, micros: int) -> None:
    assert read_moment(text) == NOON + timedelta(microseconds=micros)


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("2026-05-04 12:00:00", 0),
        ("20260504T120000", 0),
        ("20260504_120000", 0),
        ("20260504120000", 0),
        ("2026-05-04_12-00-00", 0),
        ("2026.05.04-12.00.00", 0),
        ("2026-05-04 at 12.00.00", 0),
        ("2026-05-04_12-00-00.25", 250_000),
        ("2026-05-04_12-00-00-250", 250_000),
        ("20260504120000250", 250_000),
        ("2026050412000025", None),  # tenths and hundredths, or 25 ms written without a leading zero
        ("20260504_120000_7", None),
        ("20260504-120000-0007", None),  # a counter, or a zone
        ("20260504_1200", None),
        ("2605041200", None),
        ("2026-5-4 12:00:00", None),
        ("2026-05.04 12:00:00", None),
    ],
)
def test_a_file_name_gives_a_local_time(text: str, micros: int | None) -> None:
    if micros is None:
        with pytest.raises(TimestampError) as refused:
            read_local_time(text, CEST)
        assert refused.value.fault is TimestampFault.INVALID
        return
    assert read_local_time(text, CEST) == LocalTime((NOON + timedelta(microseconds=micros),))


@pytest.mark.parametrize(
    ("text", "fault", "words"),
    [
        ("", TimestampFault.INVALID, "is not a time"),
        ("yesterday", TimestampFault.INVALID, "'yesterday' is not a time: write the date with 8 digits"),
        ("2026-05-04", TimestampFault.INVALID, "is not a time"),
        ("2026-05-04T10:00:00Z\n", TimestampFault.INVALID, "is not a time"),
        ("\uff12\uff10\uff12\uff16-05-04T10:00:00Z", TimestampFault.INVALID, "is not a time"),
        ("2026-13-04T10:00:00Z", TimestampFault.INVALID, "month must be in 1..12"),
        ("2026-05-04T24:00:00Z", TimestampFault.INVALID, "hour must be in 0..23"),
        ("2026-05-04T10:00:60Z", TimestampFault.INVALID, "second must be in 0..59"),
        ("2026-05-04T10:00:00+02:07", TimestampFault.INVALID, "which no time zone has"),
        ("2026-05-04T10:00:00+15:00", TimestampFault.INVALID, "which no time zone has"),
        ("2026-05-04T10:00:00", TimestampFault.NAIVE, "has no time zone"),
        ("0001-01-01T00:00:00+14:00", TimestampFault.EARLY, "before 2000-01-01"),
        ("1999-12-31T23:59:59Z", TimestampFault.EARLY, "before 2000-01-01"),
        ("2000-01-01T00:00:00+00:15", TimestampFault.EARLY, "before 2000-01-01"),
        ("2199-12-31T23:59:59-00:15", TimestampFault.LATE, "not before 2200-01-01"),
        ("9999-12-31T23:59:59-12:00", TimestampFault.LATE, "not before 2200-01-01"),
        ("x" * 1000, TimestampFault.INVALID, "xxx...' is not a time"),
    ],
)
def test_what_is_not_one_moment_is_refused_with_its_value_and_the_rule(
    text: str, fault: TimestampFault, words: str
) -> None:
    with pytest.raises(TimestampError, match=re.escape(words)) as refused:
        read_moment(text)
    assert refused.value.fault is fault


def test_the_repeated_hour_of_autumn_is_two_moments() -> None:
    summer, winter = datetime(2026, 10, 25, 0, 30, tzinfo=UTC), datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
    time = read_local_time("20261025_023000", BERLIN)
    assert time == LocalTime((summer, winter))
    assert time.nearest(summer + timedelta(minutes=20)) == summer
    assert time.nearest(winter + timedelta(minutes=20)) == winter
    assert read_local_time("20261025_015959", BERLIN) == LocalTime((datetime(2026, 10, 24, 23, 59, 59, tzinfo=UTC),))


def test_the_missing_hour_of_spring_is_no_time() -> None:
    with pytest.raises(TimestampError, match="leaves out at the start of summer time") as refused:
        read_local_time("20260329_023000", BERLIN)
    assert refused.value.fault is TimestampFault.SKIPPED


@pytest.mark.parametrize("year", [1, 2, 1998, 2200, 9998, 9999])
@pytest.mark.parametrize("zone", ["Europe/Berlin", "Pacific/Kiritimati", "America/Anchorage"])
def test_no_year_breaks_the_arithmetic_of_a_zone(year: int, zone: str) -> None:
    with pytest.raises(TimestampError, match=r"2000-01-01|2200-01-01"):
        read_local_time(f"{year:04d}-12-31T23:59:59", ZoneInfo(zone))


SECONDS = st.integers(0, int((LATEST - EARLIEST).total_seconds()) - 1)
OFFSETS = st.integers(-48, 56)  # quarters of an hour
FORMATS = st.sampled_from(
    ["%Y-%m-%dT%H:%M:%S", "%Y%m%dT%H%M%S", "%Y%m%d%H%M%S", "%Y%m%d_%H%M%S", "%Y-%m-%d_%H-%M-%S", "%Y.%m.%d %H.%M.%S"]
)
DECIMALS = st.sampled_from(["", ".5", ",05", ".123", ".123456789", "123", "000001", "1234567"])


@fuzzed
@given(seconds=SECONDS, quarters=OFFSETS, form=FORMATS, decimals=DECIMALS)
def test_every_way_of_writing_a_moment_is_read_as_that_moment(
    seconds: int, quarters: int, form: str, decimals: str
) -> None:
    local, zone = EARLIEST.replace(tzinfo=None) + timedelta(seconds=seconds), timezone(timedelta(minutes=15 * quarters))
    micros = int(decimals.lstrip(".,")[:6].ljust(6, "0")) if decimals else 0
    right = local.replace(tzinfo=zone).astimezone(UTC) + timedelta(microseconds=micros)
    offset = "Z" if not quarters else f"{local.replace(tzinfo=zone):%z}"
    text = local.strftime(form) + decimals
    if not EARLIEST <= right < LATEST:
        for read in (lambda: read_moment(text + offset), lambda: read_local_time(text, zone)):
            with pytest.raises(TimestampError, match=r"2000-01-01|2200-01-01"):
                read()
        return
    assert read_moment(text + offset) == right
    assert read_local_time(text, zone) == LocalTime((right,))


PIECES = (
    *("20261123101500", "20261123_101500", "2026-11-23T10:15:00", "2026-11-23 10:15", "20261123", "101500"),
    *("2026", "11", "23", "10", "15", "00", "1", "0", "123", "0007", "0200", "02:00"),
    *("", "-", "_", ".", ":", " ", "T", "Z", "+", "-", "+", "Z"),
)
HEADS = PIECES[:6]
TEXTS = st.binary(min_size=1, max_size=6).map(
    lambda data: HEADS[data[0] % len(HEADS)] + "".join(PIECES[byte % len(PIECES)] for byte in data[1:])
)


@fuzzed
@given(text=TEXTS)
@example("20261123101500Z")
@example("20261123101500123")
@example("2026-1-23_10-15-00123")
def test_no_text_is_read_as_a_moment_that_it_does_not_write(text: str) -> None:
    try:
        assert digits_of(read_local_time(text, CEST).moments[0], text, CEST) == digits_in(text)
    except TimestampError as error:
        assert repr(text)[:20] in str(error)  # noqa: PT017 - most texts are refused, and the message quotes them
    try:
        assert digits_of(read_moment(text), text, UTC) == digits_in(text)
    except TimestampError as error:
        assert repr(text)[:20] in str(error)  # noqa: PT017


OFFSET = re.compile(r"(.*[0-9]) ?(?:([-+])([0-9]{2}):?([0-9]{2})?|[Zz])", re.DOTALL)


def digits_in(text: str) -> str:
    """Digits that a text writes before its zone, as far as microseconds go."""
    found = OFFSET.fullmatch(text)
    written = text if found is None else found[1]
    return re.sub(r"[^0-9]", "", written)[:20].ljust(20, "0")


def digits_of(moment: datetime, text: str, zone: timezone) -> str:
    """Digits of a moment in the zone that a text names, otherwise in ``zone``."""
    if (found := OFFSET.fullmatch(text)) is not None:
        hours, minutes = int(found[3] or 0), int(found[4] or 0)
        zone = timezone((-1 if found[2] == "-" else 1) * timedelta(hours=hours, minutes=minutes))
    return f"{moment.astimezone(zone):%Y%m%d%H%M%S%f}"
