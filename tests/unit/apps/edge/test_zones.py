"""Zones by name, by offset, and that of the machine."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from siad.apps.edge.zones import machine_zone, read_zone

DATABASE = Path("/usr/share/zoneinfo")


def offset_h(zone: object) -> float:
    size = datetime(2026, 7, 1, tzinfo=zone).utcoffset()  # type: ignore[arg-type] # a zone is what is tested
    assert size is not None
    return size / timedelta(hours=1)


@pytest.mark.parametrize(
    ("name", "hours"), [("UTC", 0), ("Europe/Berlin", 2), ("Asia/Kolkata", 5.5), ("+01:00", 1), ("-03:30", -3.5)]
)
def test_a_zone_has_a_name_or_is_an_offset(name: str, hours: float) -> None:
    zone = read_zone(name)
    assert offset_h(zone) == hours
    assert name in str(zone)


@pytest.mark.parametrize(
    "name", ["Mars/Base", "Europe", "", "CET-1CEST,M3.5.0,M10.5.0/3", "../../etc/passwd", "/etc/localtime", "+1", "\0"]
)
def test_what_is_no_zone_is_refused_with_its_value(name: str) -> None:
    with pytest.raises(ValueError, match="is not a time zone of this machine; nothing was sent") as refused:
        read_zone(name)
    assert repr(name) in str(refused.value)


def test_the_machines_zone_is_that_of_tz_else_that_of_its_link_else_of_its_file_else_utc(tmp_path: Path) -> None:
    link, copy = tmp_path / "link", tmp_path / "copy"
    link.symlink_to(DATABASE / "Asia/Kolkata")
    copy.write_bytes((DATABASE / "Asia/Kolkata").read_bytes())
    assert str(machine_zone("Europe/Berlin", link)) == str(machine_zone(":Europe/Berlin", link)) == "Europe/Berlin"
    assert machine_zone("", link) is UTC
    assert str(machine_zone(None, link)) == "Asia/Kolkata"
    assert (offset_h(machine_zone(None, copy)), str(machine_zone(None, copy))) == (5.5, str(copy))
    assert machine_zone(None, tmp_path / "none") is UTC
    (tmp_path / "dangling").symlink_to(tmp_path / "zoneinfo" / "Etc" / "UTC")
    assert machine_zone(None, tmp_path / "dangling") is UTC
    with pytest.raises(ValueError, match="TZ 'CET-1CEST' is not a time zone of this machine"):
        machine_zone("CET-1CEST", link)
