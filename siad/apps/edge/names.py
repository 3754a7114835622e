"""What the name of a file says: an image or not, a part's serial, when it was taken. Pure."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from enum import Enum
from typing import Final

from siad.apps.cli.send import SUFFIXES

_TEMPORARY: Final = frozenset(
    {".part", ".partial", ".tmp", ".temp", ".filepart", ".crdownload", ".download", ".swp", ".lock", ".writing"}
)
_NO_SUFFIX = re.compile(r"\.\d*")  # "img.0001" is counted, not typed
_DIGITS = re.compile(r"\d{14,20}")


class FileKind(Enum):
    """What a name lets one expect."""

    IMAGE = "image"
    UNNAMED = "unnamed"  # no extension: its content decides
    TEMPORARY = "temporary"  # somebody is still at work on it, or it is hidden
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class NameLabel:
    """What a name says of its image."""

    serial: str = ""
    captured_at: datetime | None = None  # with a zone
    trouble: str = ""  # what could not be read from the name; empty where all could


def kind_of(name: str) -> FileKind:
    """Judge a file by its name, without its folders."""
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
    """Reads serial and time from names.

    Args:
        pattern: a regular expression, searched for in the path below the folder; its group ``serial`` is the part's own
            number, its group ``captured_at``, where it has one, the time.
        zone: of times that name none; None: this machine's.

    Raises:
        ValueError: it is no regular expression, or has no group ``serial``.
    """

    def __init__(self, pattern: str, *, zone: tzinfo | None = None) -> None:
        try:
            self._pattern = re.compile(pattern)
        except re.error as error:
            msg = (
                f"{pattern!r} is no regular expression: {error}; nothing was handed over. Write it as Python's re does"
            )
            raise ValueError(msg) from error
        if "serial" not in self._pattern.groupindex:
            msg = f"{pattern!r} has no group 'serial'; nothing was done. Write for example '(?P<serial>[A-Z0-9]+)_'"
            raise ValueError(msg)
        self._zone = zone

    def read(self, path: str) -> NameLabel:
        """What one path says; a name that doesn't match says nothing, and that it doesn't."""
        found = self._pattern.search(path)
        if found is None or not found["serial"]:
            return NameLabel(trouble="its name does not match --serial-from-name: handed over without a serial")
        said = found.groupdict().get("captured_at")
        if not said:
            return NameLabel(serial=found["serial"])
        moment = read_time(said, zone=self._zone)
        if moment is None:
            trouble = f"{said!r} in its name is no time: the file's own time counts"
            return NameLabel(serial=found["serial"], trouble=trouble)
        return NameLabel(serial=found["serial"], captured_at=moment)


def read_time(text: str, *, zone: tzinfo | None = None) -> datetime | None:
    """A time as names have it: ISO 8601, or its digits from year to second with anything between; None: no time.

    Args:
        text: for example 2026-05-04T12:00:00+02:00, 20260504_120000 or 2026-05-04_12-00-00.250.
        zone: of a time that names none; None: this machine's.
    """
    moment = _read_iso(text) or _read_digits(re.sub(r"\D", "", text))
    if moment is None or moment.tzinfo is not None:
        return moment
    return moment.replace(tzinfo=zone) if zone is not None else moment.astimezone()


def time_of(mtime_ns: int) -> datetime | None:
    """When a file was written last, in UTC; None where its file system says what can't be."""
    seconds, rest_ns = divmod(mtime_ns, 10**9)
    try:
        return datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=rest_ns // 1000)
    except (OverflowError, ValueError, OSError):
        return None


def _read_iso(text: str) -> datetime | None:
    if len(text) < 15:  # a day alone is no time of an exposure
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
