"""Sign-in of people of an identity provider: accounts, roles, and what is refused."""

from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import unquote

import httpx
import pytest

from services.console import app
from services.console.domain.identity import (
    IdentityRefusedError,
    PendingSignIn,
    RoleRule,
    identity_of,
    parse_role_rules,
)
from services.console.settings import ConsoleSettings
from services.console.web.oidc import ProviderSignIn
from siad.contracts.access import Role
from siad.contracts.errors import TransientError
from siad.runtime.access.accounts import Accounts, with_disabled, with_role
from tests.unit.console.people import RunningConsole, running
from tests.unit.console.world import Plant

ISSUER = "https://login.plant.example"
RULES = parse_role_rules("siad-admins=admin, press=annotator@press-3,press=viewer")


class FakeProvider:
    """A provider that knows one code for each person."""

    def __init__(self) -> None:
        self.claims: dict[str, dict[str, Any]] = {}
        self.is_away = False

    async def begin(self) -> tuple[str, PendingSignIn]:
        if self.is_away:
            raise TransientError(f"the identity provider {ISSUER} can't be asked")
        return f"{ISSUER}/authorize?state=state-1", PendingSignIn("state-1", "nonce-1", "verifier-1")

    async def finish(self, code: str, pending: PendingSignIn) -> dict[str, Any]:
        if code not in self.claims or pending.verifier != "verifier-1":
            raise IdentityRefusedError("the identity provider's answer was refused: invalid_grant")
        return self.claims.pop(code)


Open = Callable[..., Any]


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> FakeProvider:
    provider = FakeProvider()

    def made(settings: ConsoleSettings, *_: object) -> ProviderSignIn:
        unknown = Role.VIEWER if settings.oidc_unknown == "viewer" else None
        return ProviderSignIn(
            provider=provider, name="Plant", issuer=ISSUER, claim="groups", rules=RULES, unknown=unknown
        )

    monkeypatch.setattr(app, "provider_of", made)
    return provider


@pytest.fixture
async def console(provider: FakeProvider) -> AsyncIterator[RunningConsole]:
    plant = Plant()
    await plant.create()
    async with running(plant) as console:
        yield console


async def sign_in(console: RunningConsole, provider: FakeProvider, **claims: Any) -> tuple[httpx.AsyncClient, str]:
    """Sign a person in; return the browser, and why it failed."""
    browser = console.browser()
    begun = await browser.get("/v1/oidc/sign-in")
    assert (begun.status_code, begun.headers["Location"]) == (303, f"{ISSUER}/authorize?state=state-1")
    assert all(word in begun.headers["Set-Cookie"].lower() for word in ("httponly", "samesite=lax", "path=/v1/oidc"))
    provider.claims["code-1"] = {"sub": "17", **claims}
    ended = await browser.get("/v1/oidc/callback", params={"code": "code-1", "state": "state-1", "iss": ISSUER})
    return browser, failure_of(ended)


def failure_of(response: httpx.Response) -> str:
    assert response.status_code == 303
    return unquote(response.headers["Location"].removeprefix("/").removeprefix("#sign-in-failed="))


async def test_a_person_gets_an_account_and_the_roles_of_the_groups(
    console: RunningConsole, provider: FakeProvider
) -> None:
    browser, failed = await sign_in(console, provider, preferred_username="Pat Smith", groups=["press", "other"])
    assert failed == ""
    found = (await browser.get("/v1/session")).json()
    assert (found["person"], found["roles"]) == ("pat-smith", {"press-3": "annotator", "*": "viewer"})
    assert (await browser.get("/v1/lines")).status_code == 200
    account = Accounts(console.plant.blobs).read("pat-smith")
    assert (account.subject, account.password_hash) == (f"{ISSUER} 17", "")


async def test_groups_that_a_person_left_give_nothing_and_roles_given_here_stay(
    console: RunningConsole, provider: FakeProvider
) -> None:
    await sign_in(console, provider, email="pat@plant.example", groups="siad-admins")
    accounts = Accounts(console.plant.blobs)
    assert accounts.read("pat@plant.example").every_role == {"*": Role.ADMIN}
    _, failed = await sign_in(console, provider, email="pat@plant.example")
    assert "no role here yet" in failed
    accounts.change("pat@plant.example", lambda one: with_role(one, Role.VIEWER))
    _, failed = await sign_in(console, provider, email="changed@plant.example")
    assert failed == ""  # found by the subject
    assert accounts.read("pat@plant.example").every_role == {"*": Role.VIEWER}


async def test_a_person_does_not_become_another_by_a_name(console: RunningConsole, provider: FakeProvider) -> None:
    console.add("pat", Role.ADMIN)
    browser, failed = await sign_in(console, provider, preferred_username="pat", groups="press")
    assert failed == ""
    assert (await browser.get("/v1/session")).json()["person"] == "pat@login.plant.example"
    assert Accounts(console.plant.blobs).read("pat").subject == ""
    _, failed = await sign_in(console, provider, preferred_username="pat", groups="siad-admins", sub="18")
    assert "no role here yet" in failed  # both names are taken
    assert len(Accounts(console.plant.blobs).all()) == 2


async def test_a_disabled_person_is_refused(console: RunningConsole, provider: FakeProvider) -> None:
    await sign_in(console, provider, email="pat@x", groups="press")
    now = console.plant.clock.now()
    Accounts(console.plant.blobs).change("pat@x", lambda one: with_disabled(one, is_disabled=True, now=now))
    browser, failed = await sign_in(console, provider, email="pat@x", groups="press")
    assert "or is disabled" in failed
    assert (await browser.get("/v1/session")).status_code == 401


async def test_unknown_people_are_viewers_where_a_setting_says_so(provider: FakeProvider) -> None:
    plant = Plant()
    await plant.create()
    async with running(plant, ConsoleSettings(oidc_unknown="viewer")) as console:
        browser, failed = await sign_in(console, provider, email="kim@x")
        assert failed == ""
        assert (await browser.get("/v1/session")).json()["roles"] == {"*": "viewer"}


async def test_a_sign_in_of_another_browser_or_state_is_refused(
    console: RunningConsole, provider: FakeProvider
) -> None:
    at = "/v1/oidc/callback"
    for state, cookie in (("state-1", ""), ("state-1", "bm9uZQ=="), ("", "e30="), ("other", "begun"), ("", "begun")):
        provider.claims["code-1"] = {"sub": "17", "groups": "siad-admins", "email": "eve@x"}
        async with console.browser() as browser:
            if cookie == "begun":
                await browser.get("/v1/oidc/sign-in")
            elif cookie:
                browser.cookies.set("siad_oidc", cookie)
            failed = failure_of(await browser.get(at, params={"code": "code-1", "state": state}))
            assert "was not begun in this browser" in failed, (state, cookie)
            assert (await browser.get("/v1/session")).status_code == 401


async def test_a_refusal_and_an_outage_of_the_provider_are_told_on_the_page(
    console: RunningConsole, provider: FakeProvider
) -> None:
    async with console.browser() as browser:
        await browser.get("/v1/oidc/sign-in")
        params = {"error": "access_denied", "error_description": "not <you>", "state": "state-1"}
        assert "the identity provider refused: not <you>" in failure_of(
            await browser.get("/v1/oidc/callback", params=params)
        )
        await browser.get("/v1/oidc/sign-in")
        failed = failure_of(await browser.get("/v1/oidc/callback", params={"code": "x", "state": "state-1"}))
        assert "invalid_grant. Try again" in failed
        provider.is_away = True
        assert "can't be asked" in failure_of(await browser.get("/v1/oidc/sign-in"))


async def test_without_a_provider_nothing_is_offered() -> None:
    plant = Plant()
    await plant.create()
    async with running(plant) as console, console.browser() as browser:
        assert (await browser.get("/v1/sign-in-ways")).json() == {"provider": "", "has_links": True}
        response = await browser.get("/v1/oidc/sign-in")
        assert (response.status_code, "SIAD_CONSOLE_OIDC_ISSUER" in response.text) == (404, True)


@pytest.mark.parametrize("text", ["x", "x=boss", "=admin", "x=admin@", "x=admin@Press 3"])
def test_a_text_that_is_no_rule_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="is no rule; write VALUE=ROLE"):
        parse_role_rules(f"a=viewer,{text}")
    with pytest.raises(ValueError, match="SIAD_CONSOLE_OIDC_ROLES"):
        ConsoleSettings.load({"SIAD_CONSOLE_OIDC_ROLES": text})


@pytest.mark.parametrize(
    ("env", "says"),
    [
        ({"OIDC_ISSUER": "http://login.plant.example"}, "does not begin with https"),
        ({"OIDC_ISSUER": ISSUER}, "oidc_client_id and public_url not"),
        ({"PUBLIC_URL": "siad.plant.example"}, "SIAD_CONSOLE_PUBLIC_URL"),
    ],
)
def test_half_a_provider_is_refused_at_the_start(env: dict[str, str], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        ConsoleSettings.load({f"SIAD_CONSOLE_{name}": value for name, value in env.items()})


@pytest.mark.parametrize(
    ("claims", "names"),
    [
        ({"sub": "1", "preferred_username": "  Ännä "}, ("nn-", "nn-@login.plant.example")),
        ({"sub": "1", "preferred_username": "***", "email": "A@b.c"}, ("a@b.c", "a@login.plant.example")),
        ({"sub": "A|1"}, ("a-1", "a-1@login.plant.example")),
        ({"sub": "***"}, ()),
    ],
)
def test_names_of_accounts_come_from_claims(claims: dict[str, str], names: tuple[str, ...]) -> None:
    assert identity_of(claims, ISSUER, claim="", rules=()).names == names


@pytest.mark.parametrize("held", [None, 3, {"a": 1}, [3, None], "other", ["other"]])
def test_claims_of_another_form_give_no_role(held: object) -> None:
    claims = {"sub": "1", "groups": held}
    assert identity_of(claims, ISSUER, claim="groups", rules=[RoleRule("press", Role.ADMIN, "*")]).roles == {}


def test_the_cookie_is_read_as_it_was_written() -> None:
    pending = PendingSignIn("s", "n", "v")
    assert PendingSignIn.from_text(pending.to_text()) == pending
    assert PendingSignIn.from_text(PendingSignIn("", "n", "v").to_text()) is None
