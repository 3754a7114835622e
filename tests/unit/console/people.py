"""A console over HTTP, and people with accounts who use it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import cache

import httpx
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from services.console.app import assemble
from services.console.settings import ConsoleSettings
from siad.contracts.access import EVERY_LINE, Role
from siad.runtime.access.accounts import Accounts, new_account
from siad.runtime.worker import StageProcess
from tests.unit.console.world import Plant

BROWSER = {"User-Agent": "Mozilla/5.0", "Sec-Fetch-Site": "same-origin"}
HOST = "127.0.0.1:8405"
OWN = BROWSER | {"Origin": f"http://{HOST}"}
PASSWORD = "four random garden words"  # noqa: S105


@cache
def quick_hash() -> str:
    """Hash of ``PASSWORD``, of little cost."""
    return Argon2id(salt=b"0" * 16, length=32, iterations=1, lanes=1, memory_cost=64).derive_phc_encoded(
        PASSWORD.encode()
    )


@dataclass(frozen=True, slots=True)
class RunningConsole:
    """A console with its tables, and the plant around it."""

    stage: StageProcess
    plant: Plant

    def browser(self) -> httpx.AsyncClient:
        """A browser of its own, without a session."""
        transport = httpx.ASGITransport(self.stage.app)
        return httpx.AsyncClient(transport=transport, base_url=f"http://{HOST}", headers=OWN)

    def program(self) -> httpx.AsyncClient:
        """A process of this machine."""
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.stage.app), base_url=f"http://{HOST}")

    def add(self, name: str, roles: Mapping[str, Role] | Role, password_hash: str = "") -> None:
        """Store an account with ``PASSWORD``."""
        held = {EVERY_LINE: roles} if isinstance(roles, Role) else dict(roles)
        account = new_account(name, "", held, now=self.plant.clock.now())
        accounts = Accounts(self.plant.blobs)
        accounts.create(account)
        accounts.change(name, lambda one: replace(one, password_hash=password_hash or quick_hash()))


@asynccontextmanager
async def running(plant: Plant, settings: ConsoleSettings | None = None) -> AsyncIterator[RunningConsole]:
    """Run a console without its background tasks."""
    stage = StageProcess("console", settings := settings or ConsoleSettings(), clock=plant.clock)
    async with assemble(stage, settings, bus=plant.bus, blobs=plant.blobs):
        await stage.preparations["projection"]()
        yield RunningConsole(stage, plant)


async def sign_in(browser: httpx.AsyncClient, name: str, password: str = PASSWORD) -> httpx.Response:
    """Sign a person in by password."""
    return await browser.post("/v1/session", json={"name": name, "password": password})


async def open_link(console: RunningConsole, browser: httpx.AsyncClient, person: str) -> None:
    """Sign a person in by a link."""
    async with console.program() as program:
        path = (await program.post("/v1/sign-in-links", params={"person": person})).json()["path"]
    response = await browser.post("/v1/session", json={"token": path.removeprefix("/#sign-in=")})
    assert response.status_code == 201, response.text


def code_of(response: httpx.Response) -> str:
    """Name of a problem."""
    return str(response.json()["type"]).removeprefix("urn:siad:problem:")
