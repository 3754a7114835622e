"""Sign-in at a real OpenID Connect provider, which runs in a thread: code flow, PKCE, tokens checked by its keys."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import httpx
import pytest

from services.console.app import assemble
from services.console.domain.identity import IdentityRefusedError
from services.console.settings import ConsoleSettings
from siad.contracts.errors import TransientError
from siad.runtime.clock import SYSTEM_CLOCK
from siad.runtime.worker import StageProcess
from tests.unit.console.world import Plant

pytestmark = pytest.mark.slow
mock = pytest.importorskip("oidc_provider_mock", reason="requirements/dev.txt has it")
SECRET = "hush"  # noqa: S105
HOST = "http://127.0.0.1:8405"
BROWSER = {"User-Agent": "Mozilla/5.0", "Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def issuer() -> Iterator[str]:
    people = [mock.User(sub="17", claims={"email": "pat@plant.example", "groups": ["press", "canteen"]})]
    with mock.run_server_in_thread(user_claims=people, require_nonce=True) as server:
        yield f"http://localhost:{server.server_port}"


def settings_of(issuer: str, folder: Path) -> ConsoleSettings:
    secret = folder / "secret"
    secret.write_text(f"{SECRET}\n")
    return ConsoleSettings(
        public_url=HOST, oidc_issuer=issuer, oidc_client_id="siad", oidc_client_secret_file=str(secret),
        oidc_roles_claim="groups", oidc_roles="press=annotator@press-3",
    )  # fmt: skip


@pytest.fixture
async def browser(issuer: str, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    plant, settings = Plant(), settings_of(issuer, tmp_path)
    await plant.create()
    stage = StageProcess("console", settings)
    async with assemble(stage, settings, bus=plant.bus, blobs=plant.blobs):
        await stage.preparations["projection"]()
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(stage.app), base_url=HOST, headers=BROWSER
        ) as browser:
            yield browser


async def at_provider(address: str, **form: str) -> str:
    """Act as the person on the provider's page; return where it leads back to."""
    async with httpx.AsyncClient() as client:
        response = await client.post(address, data=form)
    assert response.status_code == 302, response.text
    return response.headers["Location"].removeprefix(HOST)


async def test_a_person_signs_in_at_the_provider(browser: httpx.AsyncClient) -> None:
    assert (await browser.get("/v1/sign-in-ways")).json()["provider"] == "your company account"
    begun = await browser.get("/v1/oidc/sign-in")
    asked = parse_qs(urlsplit(begun.headers["Location"]).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert len(asked["code_challenge"][0]) == 43
    assert (asked["client_id"], asked["scope"]) == (["siad"], ["openid profile email"])
    assert asked["redirect_uri"] == [f"{HOST}/v1/oidc/callback"]
    back = await at_provider(begun.headers["Location"], sub="17")
    ended = await browser.get(back)
    assert (ended.status_code, ended.headers["Location"]) == (303, "/")
    found = (await browser.get("/v1/session")).json()
    assert (found["person"], found["roles"]) == ("pat@plant.example", {"press-3": "annotator"})
    again = await browser.get(back)
    assert "was not begun in this browser" in unquote(again.headers["Location"])


async def test_what_the_person_denies_is_told(browser: httpx.AsyncClient) -> None:
    begun = await browser.get("/v1/oidc/sign-in")
    back = await at_provider(begun.headers["Location"], action="deny")
    state = parse_qs(urlsplit(begun.headers["Location"]).query)["state"][0]
    if "state=" not in back:  # this provider leaves it out
        back = f"{back}&state={state}"
    assert "the identity provider refused" in unquote((await browser.get(back)).headers["Location"])


async def test_a_token_that_does_not_hold_is_refused(issuer: str) -> None:
    from services.console.adapters.identity_provider import IdentityProvider, ProviderSettings

    known = ProviderSettings(
        issuer=issuer, client_id="siad", client_secret=SECRET, redirect_uri=f"{HOST}/v1/oidc/callback"
    )  # fmt: skip

    async def finish(settings: ProviderSettings, **change: str) -> None:
        provider = IdentityProvider(settings, clock=SYSTEM_CLOCK)
        address, pending = await IdentityProvider(known, clock=SYSTEM_CLOCK).begin()
        code = parse_qs(urlsplit(await at_provider(address, sub="17")).query)["code"][0]
        await provider.finish(change.pop("code", code), replace(pending, **change))

    await finish(known)
    for change in ({"nonce": "another"}, {"code": "unknown"}):
        with pytest.raises(IdentityRefusedError, match="answer was refused"):
            await finish(known, **change)
    with pytest.raises(IdentityRefusedError, match="answer was refused"):
        await finish(replace(known, client_id="other"))
    with pytest.raises(TransientError, match=r"names the issuer .* correct SIAD_CONSOLE_OIDC_ISSUER"):
        await finish(replace(known, issuer=f"{issuer}/"))
    with pytest.raises(TransientError, match="can't be asked"):
        await finish(replace(known, issuer="http://localhost:9"))


async def test_a_token_signed_by_another_key_is_refused(issuer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from joserfc.jwk import KeySet, RSAKey

    from services.console.adapters import identity_provider
    from services.console.adapters.identity_provider import IdentityProvider, ProviderSettings

    settings = ProviderSettings(
        issuer=issuer, client_id="siad", client_secret="", redirect_uri=f"{HOST}/v1/oidc/callback"
    )  # fmt: skip
    provider = IdentityProvider(settings, clock=SYSTEM_CLOCK)
    address, pending = await provider.begin()
    code = parse_qs(urlsplit(await at_provider(address, sub="17")).query)["code"][0]

    class OtherKeys:
        @staticmethod
        def import_key_set(_: object) -> KeySet:
            return KeySet([RSAKey.generate_key(2048)])

    monkeypatch.setattr(identity_provider, "KeySet", OtherKeys)
    with pytest.raises(IdentityRefusedError, match="answer was refused"):
        await provider.finish(code, pending)
