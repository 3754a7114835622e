"""`siad audit-log`, and the commands that enter something."""

import json

import pytest
from typer.testing import CliRunner, Result

from siad.apps.cli.__main__ import app
from tests.unit.apps.cli.plant import MemoryPlant


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> MemoryPlant:
    plant = MemoryPlant()
    for module in ("account", "key", "audit_log"):
        monkeypatch.setattr(f"siad.apps.cli.{module}.connect", lambda _: plant.connection)
        if module != "audit_log":
            monkeypatch.setattr(f"siad.apps.cli.{module}.user", lambda: "ann")
    return plant


def siad(*args: str, typed: str = "") -> Result:
    done = CliRunner().invoke(app, args, input=typed)
    assert done.exit_code == 0, done.output
    return done


def test_commands_enter_what_they_did(plant: MemoryPlant) -> None:
    siad("account", "add", "pat", "--role", "viewer", "--password-file", "-", typed="four random garden words\n")
    siad("account", "role", "pat", "engineer")
    siad("account", "disable", "pat")
    made = json.loads(siad("key", "create", "mes", "--scope", "read", "--json").stdout)
    siad("key", "revoke", made["key_id"])
    siad("key", "revoke", made["key_id"])  # a repeat changes nothing
    found = [json.loads(line) for line in siad("audit-log", "--json").stdout.splitlines()]
    assert [(one["action"], one["subject"]) for one in reversed(found)] == [
        ("account-added", "pat"),
        ("role-changed", "pat"),
        ("account-disabled", "pat"),
        ("key-made", f"key {made['key_id']}"),
        ("key-revoked", f"key {made['key_id']}"),
    ]
    assert {one["actor"] for one in found} == {"ann"}
    assert "garden" not in json.dumps(found)
    shown = siad("audit-log", "--action", "role-changed", "--actor", "ann").stdout
    assert "engineer on every line" in shown
    assert "key-made" not in shown
    assert "the newest 1 are shown" in siad("audit-log", "--limit", "1").stderr
