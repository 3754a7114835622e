"""`siad doctor`: what it prints, and its exit status."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from siad.apps.cli.__main__ import app


@pytest.fixture(autouse=True)
def _no_plant(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SIAD_BUS_BOOTSTRAP", "SIAD_STORE_BUCKET", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)


def test_a_plant_that_does_not_run_is_a_fault_with_a_remedy(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["doctor", "--data", str(tmp_path)])
    assert result.exit_code == 1
    assert f"fault   stages    `siad up` does not run on {tmp_path}" in result.stdout
    assert "do: start `siad up`" in result.stdout
    assert result.stdout.splitlines()[-1].startswith("1 faults, ")


def test_json_has_every_finding(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["doctor", "--data", str(tmp_path), "--json"])
    body = json.loads(result.stdout)
    assert (result.exit_code, body["healthy"]) == (1, False)
    assert {one["check"] for one in body["findings"]} == {"settings", "stages", "broker", "disk", "ray"}
    assert set(body["findings"][0]) == {"check", "status", "what", "effect", "remedy"}
