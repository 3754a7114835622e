"""Time zone in which the times of file names are read."""

import os
import re
from datetime import UTC, timedelta, timezone, tzinfo
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

LOCALTIME: Final = Path("/etc/localtime")
_OFFSET: Final = re.compile(r"([-+])([01][0-9]):([0-5][0-9])")
_DATABASE: Final = "/zoneinfo/"


def read_zone(name: str, *, source: str = "--zone") -> tzinfo:
    """Read a zone, such as Europe/Berlin, UTC or +01:00.

    Args:
        name: of the zone, or its offset.
        source: what names it, for the message.

    Raises:
        ValueError: there is no such zone on this machine.
    """
    if (offset := _OFFSET.fullmatch(name)) is not None:
        size = timedelta(hours=int(offset[2]), minutes=int(offset[3]))
        return timezone(-size if offset[1] == "-" else size)
    if name in ("UTC", "Z"):
        return UTC
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError) as error:
        msg = (
            f"{source} {name!r} is not a time zone of this machine; nothing was sent. Give --zone a name as "
            "Europe/Berlin, an offset as +01:00, or UTC; where no name is known, install the system's package tzdata"
        )
        raise ValueError(msg) from error


def machine_zone(environment: str | None, localtime: Path = LOCALTIME) -> tzinfo:
    """Zone of this machine: TZ, otherwise /etc/localtime, otherwise UTC.

    Args:
        environment: value of the variable TZ; None if it is not set.
        localtime: the machine's zone file, usually a link into the database of zones.

    Raises:
        ValueError: TZ is not the name of a zone; its other forms are not read.
    """
    if environment is not None:
        return read_zone(environment.removeprefix(":") or "UTC", source="TZ")
    if not localtime.exists():  # a machine without a database of zones runs in UTC
        return UTC
    _, database, name = os.path.realpath(localtime).rpartition(_DATABASE)
    if database:
        return read_zone(name, source=str(localtime))
    try:
        with localtime.open("rb") as file:
            return ZoneInfo.from_file(file, key=str(localtime))
    except (OSError, ValueError):
        return UTC
