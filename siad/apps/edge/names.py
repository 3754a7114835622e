"""File type, serial and time from a file name. Pure."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from enum import Enum
from typing import Final

from siad.apps.files import SUFFIXES
from siad.contracts.timestamps import LocalTime, TimestampError, TimestampFault, read_local_time

_TEMPORARY: Final = frozenset(
    {".part", ".partial", ".tmp", ".temp", ".filepart", ".crdownload", ".download", ".swp", ".lock", ".writing"}
)
_NO_SUFFIX = re.compile(r"\.\d*")  # "img.0001" has a number, not a file type
_SERIAL, _TIME = "serial", "captured_at"  # groups of a pattern
_REFUSALS: Final = {TimestampFault.EARLY: "past-time", TimestampFault.LATE: "future-time"}
_CLOCK_ADVICE: Final = "Set the camera's clock, or leave out the group 'captured_at' of --serial-from-name"
_WRITTEN_WITHIN: Final = timedelta(hours=1)  # of the exposure; a file's later time is that of a copy


class FileKind(Enum):
    """Kind of a file by its name."""

    IMAGE = "image"
    UNNAMED = "unnamed"  # no extension: the content decides
    TEMPORARY = "temporary"  # hidden, or a program still writes it
    OTHER = "other"


class NameProblem(Enum):
    """What a name did not say; completes a count of names."""

    NO_SERIAL = "without a serial"
    NO_TIME = "without a readable time (sent with file time)"
    REPEATED_HOUR = "in the hour that the end of summer time repeats"


@dataclass(frozen=True, slots=True)
class NameLabel:
    """What a name says about its image."""

    serial: str = ""
    captured_at: datetime | None = None  # UTC
    problem: NameProblem | None = None  # None if all could be read
    detail: str = ""  # of the problem, for users
    refusal: str = ""  # why ingest would refuse the time; empty if it would not


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
        zone: time zone of times without one.

    Raises:
        ValueError: it is not a regular expression, or has no group ``serial``.
    """

    def __init__(self, pattern: str, *, zone: tzinfo) -> None:
        try:
            self._pattern = re.compile(pattern)
        except re.error as error:
            msg = (
                f"--serial-from-name {pattern!r} is not a regular expression: {error}; nothing was sent. Write it in "
                "the syntax of Python's re"
            )
            raise ValueError(msg) from error
        if _SERIAL not in self._pattern.groupindex:
            msg = (
                f"--serial-from-name {pattern!r} has no group 'serial'; nothing was sent. Write for example "
                "'(?P<serial>[A-Z0-9]+)_'"
            )
            raise ValueError(msg)
        self.zone = zone

    @property
    def has_time(self) -> bool:
        """Whether the pattern has a group for the time."""
        return _TIME in self._pattern.groupindex

    def read(self, path: str, *, written_at: datetime | None) -> NameLabel:
        """Read one path.

        Args:
            path: below the folder.
            written_at: the file's time, which decides between the two moments of a repeated hour; None: unknown.
        """
        found = self._pattern.search(path)
        if found is None or not found[_SERIAL]:
            detail = "its name does not match --serial-from-name: sent without a serial"
            return NameLabel(problem=NameProblem.NO_SERIAL, detail=detail)
        serial, text = found[_SERIAL], found.groupdict().get(_TIME)
        if not text:
            return NameLabel(serial=serial)
        try:
            time = read_local_time(text, self.zone)
        except TimestampError as error:
            if (code := _REFUSALS.get(error.fault)) is not None:
                detail = f"in its name, {error}; nothing was sent. {_CLOCK_ADVICE}"
                return NameLabel(serial=serial, detail=detail, refusal=code)
            detail = f"in its name, {error}: sent with file time"
            return NameLabel(serial=serial, problem=NameProblem.NO_TIME, detail=detail)
        if len(time.moments) == 1:
            return NameLabel(serial=serial, captured_at=time.moments[0])
        return self._in_repeated_hour(serial, text, time, written_at)

    def _in_repeated_hour(self, serial: str, text: str, time: LocalTime, written_at: datetime | None) -> NameLabel:
        """Take the moment nearest to the file's time, otherwise the first."""
        moment, why = time.moments[0], "the first of the two, since its file time is of another day"
        if written_at is not None:
            nearest = time.nearest(written_at)
            if abs(nearest - written_at) <= _WRITTEN_WITHIN:
                moment, why = nearest, "as its file time says"
        shown = f"{moment.astimezone(self.zone):%H:%M:%S%z}"
        detail = f"in its name, {text!r} is in the hour that {self.zone} repeats: read as {shown}, {why}"
        return NameLabel(serial=serial, captured_at=moment, problem=NameProblem.REPEATED_HOUR, detail=detail)


def time_of(mtime_ns: int) -> datetime | None:
    """Time of a file's last write in UTC.

    None if the file system reports an impossible one.
    """
    seconds, rest_ns = divmod(mtime_ns, 10**9)
    try:
        return datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=rest_ns // 1000)
    except (OverflowError, ValueError, OSError):
        return None
