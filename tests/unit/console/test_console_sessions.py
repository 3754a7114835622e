"""Sign-in by password and link, and sessions that end."""

from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from services.console.adapters.projection.database import Database
from services.console.domain.attempts import ADDRESS_MAX, FORGET_S, NAME_MAX, SignInAttempts
from services.console.domain.sessions import LINK_TTL, SESSION_TTL
from siad.contracts.access import Account, Role
from siad.contracts.errors import TransientError
from siad.runtime.access import passwords
from siad.runtime.access.accounts import Accounts, new_account, with_disabled, with_password, with_role
from siad.runtime.access.audit_log import read_days
from tests.unit.console.people import PASSWORD, RunningConsole, code_of, open_link, running, sign_in
from tests.unit.console.world import Plant

REFRESHED_S = 2.0  # an account that was changed counts by then


@pytest.fixture
async def console() -> AsyncIterator[RunningConsole]:
    plant = Plant()
    await plant.create()
    async with running(plant) as console:
        yield console


@pytest.fixture
async def browser(console: RunningConsole) -> AsyncIterator[httpx.AsyncClient]:
    async with console.browser() as browser:
        yield browser


async def test_a_password_opens_a_session(console: RunningConsole, browser: httpx.AsyncClient) -> None:
    console.add("pat", Role.ANNOTATOR)
    response = await sign_in(browser, "pat")
    assert response.status_code == 201, response.text
    assert (response.json()["person"], response.json()["roles"]) == ("pat", {"*": "annotator"})
    cookie = response.headers["Set-Cookie"].lower()
    assert all(word in cookie for word in ("httponly", "samesite=strict", "path=/"))
    assert (await browser.get("/v1/session")).json()["person"] == "pat"


async def test_an_unknown_name_and_a_wrong_password_are_answered_alike(
    console: RunningConsole, browser: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    console.add("pat", Role.ANNOTATOR, passwords.hash_password(PASSWORD))
    console.add("out", Role.ANNOTATOR)
    Accounts(console.plant.blobs).change(
        "out", lambda one: with_disabled(one, is_disabled=True, now=console.plant.clock.now())
    )
    verified, verify = [], Argon2id.verify_phc_encoded

    def count(password: bytes, stored: str) -> None:
        verified.append(stored)
        verify(password, stored)

    monkeypatch.setattr(Argon2id, "verify_phc_encoded", count)
    answers = [await sign_in(browser, name, "not this one at all") for name in ("pat", "eve", "out")]
    answers.append(await sign_in(browser, "out"))  # the right password of a disabled account
    assert {(one.status_code, one.text) for one in answers} == {(401, answers[0].text)}
    assert code_of(answers[0]) == "wrong-credentials"
    assert len(verified) == 4  # each takes the time of one hash
    assert {stored.split("$")[3] for stored in verified} == {"m=65536,t=3,p=4"}


async def test_attempts_that_failed_make_the_next_one_wait(
    console: RunningConsole, browser: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    console.add("pat", Role.ANNOTATOR)
    monkeypatch.setattr("services.console.adapters.sessions.is_password", lambda typed, _: typed == "right")
    for _ in range(NAME_MAX):
        assert (await sign_in(browser, "pat", "wrong")).status_code == 401
    refused = await sign_in(browser, "pat", "right")
    assert (refused.status_code, code_of(refused)) == (429, "too-many-attempts")
    await console.plant.clock.sleep(int(refused.headers["Retry-After"]))
    assert (await sign_in(browser, "pat", "right")).status_code == 201


def test_attempts_are_bounded_by_address_too() -> None:
    attempts = SignInAttempts()
    for number in range(ADDRESS_MAX):
        assert attempts.wait_s(f"n{number}", "10.0.0.1", now_s=0) == 0
        attempts.add_failure(f"n{number}", "10.0.0.1", now_s=0)
    assert attempts.wait_s("another", "10.0.0.1", now_s=0) == pytest.approx(FORGET_S / NAME_MAX)
    assert attempts.wait_s("another", "10.0.0.2", now_s=0) == 0
    assert attempts.wait_s("another", "10.0.0.1", now_s=FORGET_S / NAME_MAX) == 0


async def test_links_and_sessions_expire(console: RunningConsole, browser: httpx.AsyncClient) -> None:
    clock = console.plant.clock
    async with console.program() as program:
        token = (await program.post("/v1/sign-in-links")).json()["path"].removeprefix("/#sign-in=")
    await clock.sleep(LINK_TTL.total_seconds())
    assert code_of(await browser.post("/v1/session", json={"token": token})) == "link-unusable"
    await open_link(console, browser, "ann")
    await clock.sleep((SESSION_TTL - timedelta(seconds=1)).total_seconds())
    assert (await browser.get("/v1/lines")).status_code == 200
    await clock.sleep(1)
    assert (await browser.get("/v1/lines")).status_code == 401


@pytest.mark.parametrize("change", ["disabled", "password"])
async def test_a_change_of_the_account_ends_its_sessions(
    console: RunningConsole, browser: httpx.AsyncClient, change: str
) -> None:
    console.add("pat", Role.ANNOTATOR)
    await sign_in(browser, "pat")
    await console.plant.clock.sleep(1)
    now = console.plant.clock.now()

    def changed(account: Account) -> Account:
        if change == "disabled":
            return with_disabled(account, is_disabled=True, now=now)
        return with_password(account, "another four garden words", now=now)

    Accounts(console.plant.blobs).change("pat", changed)
    await console.plant.clock.sleep(REFRESHED_S)
    response = await browser.get("/v1/lines")
    assert (response.status_code, code_of(response)) == (401, "signed-out")


async def test_a_role_that_was_taken_away_counts_at_once(console: RunningConsole, browser: httpx.AsyncClient) -> None:
    console.add("pat", Role.ANNOTATOR)
    await sign_in(browser, "pat")
    assert (await browser.get("/v1/lines")).status_code == 200
    Accounts(console.plant.blobs).change("pat", lambda one: with_role(one, None))
    await console.plant.clock.sleep(REFRESHED_S)
    assert (await browser.get("/v1/lines")).status_code == 403


async def test_a_person_ends_a_session_elsewhere(console: RunningConsole, browser: httpx.AsyncClient) -> None:
    console.add("pat", Role.VIEWER)
    console.add("kim", Role.ADMIN)
    async with console.browser() as lost, console.browser() as other:
        await sign_in(lost, "pat")
        await sign_in(browser, "pat")
        await sign_in(other, "kim")
        found = (await browser.get("/v1/sessions")).json()["sessions"]
        assert sorted(one["is_this"] for one in found) == [False, True]
        address = next(f"/v1/sessions/{one['session_id']}" for one in found if not one["is_this"])
        assert (await other.delete(address)).status_code == 404  # of another person
        assert (await lost.get("/v1/lines")).status_code == 200
        assert (await browser.delete(address)).status_code == 204
        assert (await lost.get("/v1/lines")).status_code == 401
        assert (await browser.delete(address)).status_code == 404


async def test_a_page_works_on_while_the_database_is_away(
    console: RunningConsole, browser: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await open_link(console, browser, "ann")

    async def away(*_: object, **__: object) -> None:
        raise TransientError("the projection is unavailable")

    monkeypatch.setattr(Database, "read", away)
    await console.plant.clock.sleep(60)
    assert (await browser.get("/v1/lines")).status_code == 200
    browser.cookies.clear()
    browser.cookies.set("siad_console", "unknown-here")
    assert (await browser.get("/v1/lines")).status_code == 503


@pytest.mark.parametrize(
    "body",
    [{}, {"name": "pat"}, {"password": "x"}, {"token": "t", "name": "pat", "password": "x"}, {"token": "t", "more": 1}],
)
async def test_a_sign_in_that_is_neither_is_refused(browser: httpx.AsyncClient, body: dict[str, str]) -> None:
    response = await browser.post("/v1/session", json=body)
    assert response.status_code == 422
    assert "nothing was done" in response.json()["detail"]


@pytest.mark.parametrize(
    "password", ["short", "aaaaaaaaaaaaaaaa", "password1234", "patpatpatpat", "Pat-password-123456", "x" * 257]
)
def test_a_weak_password_is_refused_without_telling_it(password: str, console: RunningConsole) -> None:
    with pytest.raises(ValueError, match="too weak") as refusal:
        new_account("pat", password, {}, now=console.plant.clock.now())
    assert password not in str(refusal.value)


@pytest.mark.parametrize("name", ["", "Pat", "-pat", "pat smith", "../pat", "p" * 129])
def test_a_name_that_is_no_key_is_refused(name: str, console: RunningConsole) -> None:
    with pytest.raises(ValueError, match="name of an account"):
        new_account(name, "", {}, now=console.plant.clock.now())


async def test_sign_ins_and_their_refusals_are_entered_in_the_audit_log(
    console: RunningConsole, browser: httpx.AsyncClient
) -> None:
    console.add("pat", Role.ENGINEER)
    await sign_in(browser, "pat", "not this one at all")
    await sign_in(browser, "eve")
    await sign_in(browser, "pat")
    await browser.get("/v1/lines")
    address = "/v1/lines/press-1/commands/" + "0" * 32
    await browser.put(address, json={"kind": "hold", "product": "cap", "by": "the boss"})
    await browser.delete("/v1/session")
    await getattr(console.stage.tasks["audit"], "__self__").flush()  # noqa: B009 - the task's owner
    found = list(read_days(console.plant.blobs, console.plant.clock.now(), 1))
    assert sorted((one.action.value, one.actor, one.detail) for one in found) == [
        ("request", "pat", "status 404"),
        ("session-ended", "pat", ""),
        ("sign-in", "pat", ""),
        ("sign-in-refused", "eve", "no such account"),
        ("sign-in-refused", "pat", "wrong password"),
    ]


async def test_a_link_is_no_session_and_a_session_no_link(console: RunningConsole, browser: httpx.AsyncClient) -> None:
    await open_link(console, browser, "ann")
    session = browser.cookies["siad_console"]
    async with console.browser() as other, console.program() as program:
        assert code_of(await other.post("/v1/session", json={"token": session})) == "link-unusable"
        link = (await program.post("/v1/sign-in-links")).json()["path"].removeprefix("/#sign-in=")
        other.cookies.set("siad_console", link)
        assert (await other.get("/v1/lines")).status_code == 401
    await console.plant.clock.sleep(REFRESHED_S)
    assert (await browser.get("/v1/lines")).status_code == 200  # a refused attempt ends nothing
