"""The capture ledger in `siad status`."""

import io
from typing import Any

import httpx
import pytest
from rich.console import Console

from siad.apps.cli.status import print_ledger
from siad.apps.local.stage_status import read_ledger

LINE = {
    "line": "cam-1", "received": 12, "verdict": 4, "waiting": 7, "missing": 6, "dead_letter": 1, "normal": 10,
    "stale": 0, "missing_after_s": 60.0, "missing_names": [f"{number:032x}" for number in range(6)],
}  # fmt: skip


def printed(ledger: dict[str, Any] | None) -> str:
    out = io.StringIO()
    print_ledger(ledger, Console(file=out, width=200))
    return out.getvalue()


def test_counts_are_in_a_row_and_missing_captures_below_by_id() -> None:
    said = printed({"as_of": "2026-01-01T12:00:00+00:00", "age_s": 3.2, "behind": 0, "lines": [LINE]})
    row = next(line for line in said.splitlines() if "cam-1" in line)
    assert row.split() == [
        "cam-1",
        "12",
        "4",
        "7",
        "1",
        "6",
        "10",
        "0",
    ]
    assert "3.2 s old" in said
    assert f"{0:032x}" in said
    assert f"{5:032x}" not in said
    assert "and 1 more" in said


def test_a_ledger_that_is_behind_says_so() -> None:
    said = printed({"as_of": "2026-01-01T12:00:00+00:00", "age_s": 40.0, "behind": 17, "lines": []})
    assert "40 s old, 17 records behind" in said


@pytest.mark.parametrize(("status", "is_there"), [(500, False), (200, True)])
def test_a_ledger_that_is_unavailable_or_empty_is_reported(status: int, is_there: bool) -> None:
    body: dict[str, Any] = {"as_of": None, "age_s": None, "behind": 0, "lines": []}
    with httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(status, json=body))) as client:
        ledger = read_ledger(client, "http://stage")
    assert (ledger is not None) == is_there
    assert ("not written yet" if is_there else "unavailable") in printed(ledger)
