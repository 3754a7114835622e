"""`siad account`: what it stores and prints, and how it fails."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from siad.apps.cli.__main__ import app
from siad.contracts.access import Role
from siad.contracts.access_keys import account_key
from siad.contracts.keys import line_pointer_key
from siad.runtime.access.accounts import Accounts
from siad.runtime.access.passwords import is_password
from tests.unit.apps.cli.plant import MemoryPlant

PASSWORD = "four random garden words"  # noqa: S105


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> MemoryPlant:
    plant = MemoryPlant()
    plant.blobs.put(line_pointer_key("press-1"), b"{}")
    monkeypatch.setattr("siad.apps.cli.account.connect", lambda _: plant.connection)
    return plant


def siad(*args: str, typed: str = "") -> Result:
    return CliRunner().invoke(app, ["account", *args], input=typed)


def add(name: str = "pat", role: str = "annotator", *more: str) -> Result:
    return siad("add", name, "--role", role, "--password-file", "-", *more, typed=f"{PASSWORD}\n")


def test_an_account_is_stored_without_its_password(plant: MemoryPlant) -> None:
    done = add()
    assert (done.exit_code, done.stdout) == (0, "pat may sign in, as annotator on every line\n")
    stored = plant.blobs.get(account_key("pat")).data
    assert PASSWORD.encode() not in stored
    account = Accounts(plant.blobs).read("pat")
    assert account.password_hash.startswith("$argon2id$")
    assert is_password(PASSWORD, account.password_hash)
    assert not is_password(f"{PASSWORD} ", account.password_hash)


def test_a_typed_password_is_asked_twice_and_not_shown(plant: MemoryPlant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("siad.apps.cli.account._is_terminal", lambda: True)
    done = siad("add", "pat", "--role", "admin", typed=f"{PASSWORD}\n{PASSWORD}\n")
    assert done.exit_code == 0, done.output
    assert PASSWORD not in done.output
    refused = siad("add", "kim", "--role", "admin", typed=f"{PASSWORD}\nanother\n")
    assert refused.exit_code == 1
    assert plant.blobs.head(account_key("kim")) is None


def test_without_a_terminal_no_password_is_asked(plant: MemoryPlant) -> None:
    refused = siad("add", "kim", "--role", "admin", typed=f"{PASSWORD}\n{PASSWORD}\n")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "standard input is no terminal" in refused.stderr
    assert "--password-file -" in refused.stderr
    assert plant.blobs.head(account_key("kim")) is None


def test_a_taken_name_is_refused_before_a_password_is_asked(plant: MemoryPlant) -> None:
    add()
    refused = siad("add", "pat", "--role", "admin")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "there is an account 'pat' already; nothing was changed" in refused.stderr


def test_roles_are_given_by_line_and_taken_away(plant: MemoryPlant) -> None:
    add("pat", "viewer")
    assert siad("role", "pat", "engineer", "--line", "press-1").exit_code == 0
    assert Accounts(plant.blobs).read("pat").roles == {"*": Role.VIEWER, "press-1": Role.ENGINEER}
    assert "engineer on press-1, within seconds" in siad("role", "pat", "none").stdout
    assert Accounts(plant.blobs).read("pat").roles == {"press-1": Role.ENGINEER}
    [row] = json.loads(siad("list", "--json").stdout)
    assert (row["name"], row["roles"], row["is_disabled"]) == ("pat", {"press-1": "engineer"}, False)


def test_another_password_and_disabling_end_the_sessions(plant: MemoryPlant) -> None:
    add()
    before = Accounts(plant.blobs).read("pat")
    siad("password", "pat", "--password-file", "-", typed="another four garden words")
    after = Accounts(plant.blobs).read("pat")
    assert after.sessions_from_at > before.sessions_from_at
    assert is_password("another four garden words", after.password_hash)
    assert siad("disable", "pat").exit_code == 0
    assert Accounts(plant.blobs).read("pat").is_disabled
    assert "disabled" in siad("list").stdout
    assert siad("enable", "pat").exit_code == 0
    assert not Accounts(plant.blobs).read("pat").is_disabled


@pytest.mark.parametrize(
    ("args", "typed", "says"),
    [
        (["add", "Pat", "--role", "viewer"], "", "'Pat' can't be the name of an account"),
        (["add", "pat", "--role", "viewer", "--line", "press-9"], "", "line 'press-9' is unknown; nothing was changed"),
        (["add", "pat", "--role", "viewer", "--password-file", "-"], "weak\n", "it has 4 characters"),
        (["add", "pat", "--role", "viewer", "--password-file", "/none"], "", "/none"),
        (["role", "eve", "viewer"], "", "there is no account 'eve'"),
        (["role", "../x", "viewer"], "", "there is no account '../x'"),
        (["role", "pat", "boss"], "", "'boss' is no role; nothing was changed. Roles: viewer, annotator"),
        (["role", "pat", "viewer", "--line", "press-9"], "", "Lines: press-1"),
        (["password", "eve"], "", "there is no account 'eve'"),
        (["disable", "eve"], "", "there is no account 'eve'"),
    ],
)
def test_a_bad_request_is_refused_with_what_to_change(
    plant: MemoryPlant, args: list[str], typed: str, says: str
) -> None:
    done = siad(*args, typed=typed)
    assert done.exit_code == 1
    assert says in done.output
    assert list(plant.blobs.list("access/")) == []


def test_a_taken_name_keeps_its_account(plant: MemoryPlant, tmp_path: Path) -> None:
    add("pat", "viewer")
    again = add("pat", "admin")
    assert (again.exit_code, "there is an account 'pat' already; nothing was changed" in again.output) == (1, True)
    assert Accounts(plant.blobs).read("pat").roles == {"*": Role.VIEWER}
