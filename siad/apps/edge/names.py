"""File type, serial and time from a file name. Pure."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from enum import Enum
from typing import Final

from siad.apps.files import SUFFIXES

_TEMPORARY: Final = frozenset(
    {".part", ".partial", ".tmp", ".temp", ".filepart", ".crdownload", ".download", ".swp", ".lock", ".writing"}
)
_NO_SUFFIX = re.compile(r"\.\d*")  # "img.0001" has a number, not a file type
_DIGITS = re.compile(r"\d{14,20}")
_DAY_CHARS: Final = 15  # a text shorter than this holds a day without a time


class FileKind(Enum):
    """Kind of a file by its name."""

    IMAGE = "image"
    UNNAMED = "unnamed"  # no extension: the content decides
    TEMPORARY = "temporary"  # hidden, or a program still writes it
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class NameLabel:
    """What a name says about its image."""

    serial: str = ""
    captured_at: datetime | None = None  # with a time zone
    problem: str = ""  # what could not be read from the name; empty if all could


def kind_of(name: str) -> FileKind:
    """Classify a file by its name, without its folders."""
    if name[0] in ".~" or name[-1] == "~":
        return FileKind.TEMPORARY
    dot = name.rfind(".")
    suffix = name[dot:].lower() if dot > 0 else ""
    if suffix in SUFFIXES:
        return FileKind.IMAGE
    if suffix in _TEMPORARY:
        return FileKind.TEMPORARY
    return FileKind.UNNAMED if not suffix or _NO_SUFFIX.fullmatch(suffix) else FileKind.OTHER


class SerialPattern:
    """Reads serial and time from file names.

    Args:
        pattern: a regular expression, searched for in the path below the folder; its group ``serial`` is the serial of
            the part, its optional group ``captured_at`` the time.
        zone: time zone of times without one; None: that of this machine.

    Raises:
        ValueError: it is not a regular expression, or has no group ``serial``.
    """

    def __init__(self, pattern: str, *, zone: tzinfo | None = None) -> None:
        try:
            self._pattern = re.compile(pattern)
        except re.error as error:
            msg = (
                f"--serial-from-name {pattern!r} is not a regular expression: {error}; nothing was sent. Write it in "
                "the syntax of Python's re"
            )
            raise ValueError(msg) from error
        if "serial" not in self._pattern.groupindex:
            msg = (
                f"--serial-from-name {pattern!r} has no group 'serial'; nothing was sent. Write for example "
                "'(?P<serial>[A-Z0-9]+)_'"
            )
            raise ValueError(msg)
        self._zone = zone

    def read(self, path: str) -> NameLabel:
        """Read one path.

        If it does not match, the label is empty and says so.
        """
        found = self._pattern.search(path)
        if found is None or not found["serial"]:
            return NameLabel(problem="its name does not match --serial-from-name: sent without a serial")
        text = found.groupdict().get("captured_at")
        if not text:
            return NameLabel(serial=found["serial"])
        moment = read_time(text, zone=self._zone)
        if moment is None:
            return NameLabel(serial=found["serial"], problem=f"{text!r} in its name is not a time: sent with file time")
        return NameLabel(serial=found["serial"], captured_at=moment)


def read_time(text: str, *, zone: tzinfo | None = None) -> datetime | None:
    """Read a time in ISO 8601 or as digits.

    Digits run from year to second, with any separators. None if the text is neither.

    Args:
        text: for example 2026-05-04T12:00:00+02:00, 20260504_120000 or 2026-05-04_12-00-00.250.
        zone: time zone of a time without one; None: that of this machine.
    """
    moment = _read_iso(text) or _read_digits(re.sub(r"\D", "", text))
    if moment is None or moment.tzinfo is not None:
        return moment
    return moment.replace(tzinfo=zone) if zone is not None else moment.astimezone()


def time_of(mtime_ns: int) -> datetime | None:
    """Time of a file's last write in UTC.

    None if the file system reports an impossible one.
    """
    seconds, rest_ns = divmod(mtime_ns, 10**9)
    try:
        return datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=rest_ns // 1000)
    except (OverflowError, ValueError, OSError):
        return None


def _read_iso(text: str) -> datetime | None:
    if len(text) < _DAY_CHARS:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _read_digits(digits: str) -> datetime | None:
    if not _DIGITS.fullmatch(digits):
        return None
    try:
        whole = datetime.strptime(digits[:14], "%Y%m%d%H%M%S")  # noqa: DTZ007 - the caller adds the zone
    except ValueError:
        return None
    return whole.replace(microsecond=int(digits[14:].ljust(6, "0")))
