"""`siad key` and ``SIAD_API_KEY``: what is made, printed and sent."""

import json

import httpx
import pytest
from typer.testing import CliRunner, Result

from siad.apps.cli.__main__ import app
from siad.apps.client import IngestClient, ProblemError
from siad.apps.credentials import credentials
from siad.contracts.api_keys import format_key, parse_key, secret_digest
from siad.contracts.keys import line_pointer_key
from siad.runtime.access.api_keys import ApiKeys
from siad.runtime.problems import problem_response
from tests.unit.apps.cli.plant import MemoryPlant

KEY = format_key("0123456789ab", "s" * 43)


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> MemoryPlant:
    plant = MemoryPlant()
    plant.blobs.put(line_pointer_key("press-1"), b"{}")
    monkeypatch.setattr("siad.apps.cli.key.connect", lambda _: plant.connection)
    return plant


def siad(*args: str) -> Result:
    return CliRunner().invoke(app, ["key", *args])


def test_a_key_is_printed_once(plant: MemoryPlant) -> None:
    done = siad("create", "camera-3", "--scope", "ingest", "--scope", "read", "--line", "press-1", "--days", "30")
    assert done.exit_code == 0, done.output
    text = done.stdout.strip()
    parts = parse_key(text)
    assert parts
    assert f"key {parts[0]} for camera-3: read, ingest, press-1, expires" in done.stderr
    listed = siad("list")
    assert parts[0] in listed.stdout
    assert parts[1] not in listed.stdout
    [row] = json.loads(siad("list", "--json").stdout)
    assert (row["scopes"], row["lines"], row["revoked_at"]) == (["read", "ingest"], ["press-1"], None)
    assert ApiKeys(plant.blobs).all()[0].secret_sha256 == secret_digest(parts[1])


def test_a_key_is_revoked_by_its_first_digits(plant: MemoryPlant) -> None:
    made = json.loads(siad("create", "mes", "--scope", "inspect", "--json").stdout)
    assert made["lines"] == ["*"]
    done = siad("revoke", made["key_id"][:5])
    assert f"key {made['key_id']} for mes is refused within seconds" in done.stdout
    assert "was revoked at" in siad("list").stdout
    again = siad("revoke", made["key"])
    assert (again.exit_code, "was revoked before" in again.stdout) == (0, True)


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["create", "x", "--scope", "ingest", "--line", "press-9"], "line 'press-9' is unknown; nothing was changed"),
        (["create", "", "--scope", "ingest"], "'' can't be the name of a key"),
        (["create", "x" * 65, "--scope", "ingest"], "can't be the name of a key"),
        (["revoke", "ffff"], "there is no key 'ffff'; nothing was revoked"),
        (["revoke", ""], "there is no key ''"),
        (["revoke", "../x"], "there is no key '../x'"),
    ],
)
def test_a_bad_request_is_refused_with_what_to_change(plant: MemoryPlant, args: list[str], says: str) -> None:
    done = siad(*args)
    assert done.exit_code == 1
    assert says in done.output
    assert ApiKeys(plant.blobs).all() == []


def test_first_digits_of_several_keys_revoke_none(plant: MemoryPlant) -> None:
    for _ in range(17):  # of 16 first digits, one is there twice
        siad("create", "x", "--scope", "read")
    firsts = [one.key_id[0] for one in ApiKeys(plant.blobs).all()]
    twice = next(digit for digit in firsts if firsts.count(digit) > 1)
    assert f"several keys begin with '{twice}'" in siad("revoke", twice).output
    assert all(one.revoked_at is None for one in ApiKeys(plant.blobs).all())


def test_another_text_is_no_key_and_is_not_told() -> None:
    assert credentials({}) == credentials({"SIAD_API_KEY": " "}) == {}
    assert credentials({"SIAD_API_KEY": f"{KEY}\n"}) == {"Authorization": f"Bearer {KEY}"}
    with pytest.raises(ValueError, match="SIAD_API_KEY is no API key") as refusal:
        credentials({"SIAD_API_KEY": "hunter2 and more"})
    assert "hunter2" not in str(refusal.value)


async def test_commands_send_the_key_and_explain_its_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIAD_API_KEY", KEY)
    sent: list[str | None] = []

    async def refuse(request: httpx.Request) -> httpx.Response:
        sent.append(request.headers.get("Authorization"))
        body = problem_response(
            401, "ended-key", "the API key 0123456789ab was revoked at 12:00; nothing was done. Ask"
        )
        return httpx.Response(401, content=bytes(body.body), headers={"Content-Type": "application/problem+json"})

    async with IngestClient("http://ingest", transport=httpx.MockTransport(refuse)) as client:
        with pytest.raises(ProblemError, match=r"revoked at 12:00; nothing was done\. Set SIAD_API_KEY to another"):
            await client.list_lines()
    assert sent == [f"Bearer {KEY}"]
