"""Strict reader of timestamps, shared by HTTP, commands and file names.

Every field has a fixed number of digits, so a text is read as one moment or refused; a lenient reader such as
``datetime.fromisoformat`` reads 20261123101500Z as 01:50:00. Accepted are RFC 3339 and ISO 8601 (2026-05-04T12:00:00Z,
20260504T120000+0200), the same with ``-``, ``.`` or ``_`` between the fields, as file names need it, and the digits
alone (20260504120000). Decimals follow ``.`` or ``,`` (1 to 9 digits), or the seconds themselves (3 to 9 digits), or
``-`` or ``_`` (3, 6 or 9 digits); what is finer than a microsecond is cut off.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from enum import StrEnum
from typing import Final

EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)  # an earlier time is a clock that was reset
LATEST: Final = datetime(2200, 1, 1, tzinfo=UTC)
_SHOWN_CHARS: Final = 64  # of a refused text
_OFFSET_H: Final = (-12, 14)  # of every time zone since EARLIEST
_TIME: Final = re.compile(
    r"(?P<year>[0-9]{4})(?P<dash>[-._]?)(?P<month>[0-9]{2})(?P=dash)(?P<day>[0-9]{2})"
    r"(?:[-._ ]{0,3}|[Tt]| at )"
    r"(?P<hour>[0-9]{2})(?P<colon>[-._:]?)(?P<minute>[0-9]{2})"
    r"(?:(?P=colon)(?P<second>[0-9]{2})"
    r"(?:[.,](?P<decimals>[0-9]{1,9})|(?P<run>[0-9]{3,9})|[-_](?P<part>[0-9]{3}|[0-9]{6}|[0-9]{9}))?)?"
    r" ?(?P<zone>[Zz]|(?P<sign>[-+])(?P<offset_h>[0-9]{2})(?P<offset_colon>:?)(?P<offset_m>[0-9]{2})?)?"
)


class TimestampFault(StrEnum):
    """Why a text was refused."""

    INVALID = "invalid"
    NAIVE = "naive"  # without a time zone
    EARLY = "early"  # before EARLIEST
    LATE = "late"  # after LATEST
    SKIPPED = "skipped"  # in the hour that the start of summer time leaves out


class TimestampError(ValueError):
    """A text that is not one moment; the message quotes it."""

    def __init__(self, fault: TimestampFault, text: str, why: str) -> None:
        shown = text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}..."
        super().__init__(f"{shown!r} {why}")
        self.fault = fault


@dataclass(frozen=True, slots=True)
class LocalTime:
    """Moments that a local time may mean, in UTC, in order.

    There are two in the hour that the end of summer time repeats, otherwise one.
    """

    moments: tuple[datetime, ...]

    def nearest(self, moment: datetime) -> datetime:
        """Return the moment that is nearest to ``moment``."""
        return min(self.moments, key=lambda one: abs(one - moment))


def read_moment(text: str) -> datetime:
    """Read a timestamp that has a time zone; returns UTC.

    Raises:
        TimestampError: it is no such timestamp, or not between EARLIEST and LATEST.
    """
    found = _match(text)
    if found["zone"] is None:
        raise TimestampError(TimestampFault.NAIVE, text, "has no time zone, so its moment is unknown")
    return _moment(text, _local(text, found), _offset(text, found))


def read_local_time(text: str, zone: tzinfo) -> LocalTime:
    """Read a timestamp from a file name.

    A negative offset needs its colon (-05:00): "-0500" at the end of a name may be a counter.

    Args:
        text: for example 20260504_120000, 2026-05-04_12-00-00.250 or 20260504T100000Z.
        zone: of a time that names none.

    Raises:
        TimestampError: it is no timestamp, or not between EARLIEST and LATEST, or ``zone`` left out its hour.
    """
    found = _match(text)
    local = _local(text, found)
    if found["zone"] is not None:
        if found["sign"] == "-" and not found["offset_colon"]:
            why = f"ends in {found['zone']!r}, which may be a zone or a counter; write a zone with a colon, as -05:00"
            raise TimestampError(TimestampFault.INVALID, text, why)
        return LocalTime((_moment(text, local, _offset(text, found)),))
    first, second = (local.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if (before := first.utcoffset() or timedelta()) < (after := second.utcoffset() or timedelta()):
        why = f"is in the hour that {zone} leaves out at the start of summer time, so its clock never showed it"
        raise TimestampError(TimestampFault.SKIPPED, text, why)
    folds = (0,) if before == after else (0, 1)
    return LocalTime(tuple(_moment(text, local, zone, fold=fold) for fold in folds))


def _match(text: str) -> re.Match[str]:
    found = _TIME.fullmatch(text)
    if found is None or (found["second"] is None and found["colon"] != ":"):
        why = "is not a time: write the date with 8 digits and the time with 6, as 2026-05-04T12:00:00.5+02:00"
        raise TimestampError(TimestampFault.INVALID, text, why)
    return found


def _local(text: str, found: re.Match[str]) -> datetime:
    """Date and time of a match, without its zone."""
    year, month, day, hour, minute = (int(found[name]) for name in ("year", "month", "day", "hour", "minute"))
    decimals = found["decimals"] or found["run"] or found["part"] or ""
    if not EARLIEST.year - 1 <= year <= LATEST.year:  # before any arithmetic, which ends at the years 1 and 9999
        raise _out_of_range(text, is_early=year < EARLIEST.year)
    try:
        return datetime(  # noqa: DTZ001 - the caller adds the zone
            year, month, day, hour, minute, int(found["second"] or 0), int(decimals[:6].ljust(6, "0"))
        )
    except ValueError as error:
        raise TimestampError(TimestampFault.INVALID, text, f"is not a time: {error}") from error


def _offset(text: str, found: re.Match[str]) -> tzinfo:
    if found["sign"] is None:
        return UTC
    sign = -1 if found["sign"] == "-" else 1
    offset = sign * timedelta(hours=int(found["offset_h"]), minutes=int(found["offset_m"] or 0))
    low, high = (timedelta(hours=hours) for hours in _OFFSET_H)
    if not low <= offset <= high or int(found["offset_m"] or 0) % 15:
        why = f"has the offset {found['zone']}, which no time zone has; they are -12:00 to +14:00 in steps of 15 min"
        raise TimestampError(TimestampFault.INVALID, text, why)
    return timezone(offset)


def _moment(text: str, local: datetime, zone: tzinfo, *, fold: int = 0) -> datetime:
    moment = local.replace(tzinfo=zone, fold=fold).astimezone(UTC)
    if not EARLIEST <= moment < LATEST:
        raise _out_of_range(text, is_early=moment < EARLIEST)
    return moment


def _out_of_range(text: str, *, is_early: bool) -> TimestampError:
    if is_early:
        why = f"is before {EARLIEST.isoformat()}, the earliest time that is accepted"
        return TimestampError(TimestampFault.EARLY, text, why)
    return TimestampError(TimestampFault.LATE, text, f"is not before {LATEST.isoformat()}, where times end")
