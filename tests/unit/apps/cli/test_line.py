"""`siad line`: every setting is shown."""

from typing import Any

import pytest
from typer.testing import CliRunner

from siad.apps.cli.__main__ import app
from siad.apps.client import IngestClient
from siad.contracts.region import parse_region

PLAIN = {
    "line": "press-3",
    "product": "cap-28mm",
    "revision": 1,
    "false_reject_budget": 0.05,
    "shards": 8,
    "deadline_s": 0,
    "changed_at": "2026-01-02T03:04:05Z",
}


def shown(monkeypatch: pytest.MonkeyPatch, *lines: dict[str, Any]) -> str:
    """What `siad line get` prints of one line, or `siad line list` of several."""

    async def list_lines(_: IngestClient) -> list[dict[str, Any]]:
        return [*lines]

    async def get_line(_: IngestClient, line: str) -> dict[str, Any]:
        return next(one for one in lines if one["line"] == line)

    monkeypatch.setattr(IngestClient, "list_lines", list_lines)
    monkeypatch.setattr(IngestClient, "get_line", get_line)
    command = ["get", lines[0]["line"]] if len(lines) == 1 else ["list"]
    done = CliRunner().invoke(app, ["line", *command, "--url", "http://ingest.example"])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_cost_of_a_miss_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    costly = {**PLAIN, "line": "press-4", "miss_cost": 20.0}
    assert "a miss costs" not in shown(monkeypatch, PLAIN)
    assert "5.00%, a miss costs 20" in shown(monkeypatch, costly)
    assert "5.00%, a miss costs 20" in shown(monkeypatch, PLAIN, costly)


@pytest.mark.parametrize(
    ("region", "text"),
    [
        ("0.1,0.2,0.9,0.8", "0.1,0.2,0.9,0.8"),
        ("0,0 1,0 0.5,1", "0,0 1,0 0.5,1"),
        ("0,0 1,0 0.5,1 0.2,0.5", "0,0 1,0 0.5,1 0.2,0.5"),
        ("", "all of the image"),
    ],
)
def test_the_region_is_shown_as_it_is_typed(monkeypatch: pytest.MonkeyPatch, region: str, text: str) -> None:
    rows = [one.split(maxsplit=1) for one in shown(monkeypatch, {**PLAIN, "region": parse_region(region)}).splitlines()]
    assert ["region", text] in rows


@pytest.mark.parametrize(
    ("region", "said"),
    [
        ("0.9,0.1,0.1,0.5", "left 0.9 is not less than right 0.1"),
        ("0.1,0.5,0.9,0.5", "top 0.5 is not less than bottom 0.5"),
        ("1,1,0,0", "left 1 is not less than right 0 and top 1 is not less than bottom 0"),
    ],
)
def test_a_box_with_its_sides_exchanged_is_refused(region: str, said: str) -> None:
    arguments = ["line", "put", "press-3", "--region", region, "--url", "http://ingest.example"]
    done = CliRunner().invoke(app, arguments, terminal_width=400)
    assert (done.exit_code, said in " ".join(done.output.replace("│", " ").split())) == (2, True), done.output
