"""Every role on every route of the console: allowed, or 403 with a clear sentence."""

from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.routing import Route

from services.console.access import ROUTES
from siad.contracts.access import EVERY_LINE, Role
from siad.runtime.access.table import OPEN, VIEW_SOME
from tests.architecture.test_access import roles_for
from tests.unit.console.people import RunningConsole, code_of, open_link, running
from tests.unit.console.world import LINE_NAME, WEIGHTS, Plant, name_of, put_capture

OTHER_LINE = "press-2"
NAMES = {
    "{line}": LINE_NAME,
    "{capture}": name_of(1),
    "{name}": WEIGHTS,
    "{weights}": WEIGHTS,
    "{command}": name_of(2),
    "{board}": "fleet",
    "{alert}": "SiadBehind",
}
WITHOUT_SESSION = ("GET /", "GET /assets/{name}")
OF_SESSIONS = ("/v1/session", "/v1/sign-in", "/v1/oidc")


def asked() -> list[str]:
    return [route for route in ROUTES if not route.partition(" ")[2].startswith(OF_SESSIONS)]


def of_every_line() -> list[str]:
    """Routes whose role must be one on every line."""
    return [route for route in asked() if "{line}" not in route and ROUTES[route] not in (OPEN, VIEW_SOME)]


@pytest.fixture
async def console() -> AsyncIterator[RunningConsole]:
    plant = Plant()
    await plant.create()
    put_capture(plant.blobs, 1)
    async with running(plant) as console:
        yield console


async def ask(browser: httpx.AsyncClient, route: str, **names: str) -> httpx.Response:
    method, _, path = route.partition(" ")
    for name, value in (NAMES | names).items():
        path = path.replace(name, value)
    query = {"holder": "page-1234"} if path.endswith("lease") else {}
    if path.endswith("corrections") and method == "POST":
        query = {"verdict": "good"}
    return await browser.request(method, path, params=query)


@pytest.mark.parametrize("role", list(Role))
async def test_a_role_may_do_what_it_is_for_and_nothing_else(console: RunningConsole, role: Role) -> None:
    console.add("pat", {LINE_NAME: role})
    async with console.browser() as browser:
        await open_link(console, browser, "pat")
        for route in asked():
            allowed = [] if route in of_every_line() else roles_for(route)
            response = await ask(browser, route)
            is_refused = response.status_code == 403
            assert is_refused == (role.value not in allowed and route not in WITHOUT_SESSION), (route, response.text)
            if is_refused:
                assert "pat may not" in response.json()["detail"]
                assert "An administrator can change that" in response.json()["detail"]


@pytest.mark.parametrize("role", list(Role))
async def test_a_role_on_every_line_opens_what_is_of_every_line(console: RunningConsole, role: Role) -> None:
    console.add("pat", role)
    async with console.browser() as browser:
        await open_link(console, browser, "pat")
        for route in of_every_line():
            response = await ask(browser, route)
            assert (response.status_code == 403) == (role.value not in roles_for(route)), (route, response.text)


@pytest.mark.parametrize("role", list(Role))
async def test_a_role_on_one_line_gives_nothing_on_another(console: RunningConsole, role: Role) -> None:
    console.add("pat", {OTHER_LINE: role})
    async with console.browser() as browser:
        await open_link(console, browser, "pat")
        for route in (route for route in asked() if "{line}" in route):
            response = await ask(browser, route)
            assert (response.status_code, code_of(response)) == (403, "not-allowed"), route
            assert f"on line '{LINE_NAME}'" in response.json()["detail"]


async def test_without_a_session_browsers_get_the_page_alone(console: RunningConsole) -> None:
    async with console.browser() as browser:
        for route in asked():
            response = await ask(browser, route)
            assert (response.status_code == 401) == (route not in WITHOUT_SESSION), route
            if response.status_code == 401:
                assert "siad sign-in" in response.json()["detail"]


async def test_every_route_of_the_app_is_in_the_table(console: RunningConsole) -> None:
    app = console.stage.app
    described = {f"{method.upper()} {path}" for path, methods in app.openapi()["paths"].items() for method in methods}
    assert described - {"GET /healthz", "GET /readyz", "GET /metrics"} <= set(ROUTES)

    @app.put("/v1/lines/{line}/forgotten")
    async def forgotten(line: str) -> None: ...

    console.add("pat", Role.ENGINEER)
    async with console.browser() as browser, console.browser() as admin:
        await open_link(console, browser, "pat")
        assert (await browser.put(f"/v1/lines/{LINE_NAME}/forgotten")).status_code == 403
        await open_link(console, admin, "root")
        assert (await admin.put(f"/v1/lines/{LINE_NAME}/forgotten")).status_code == 200
    assert isinstance(app.routes[0], Route)


async def test_a_person_sees_the_lines_of_the_roles(console: RunningConsole) -> None:
    console.add("pat", {LINE_NAME: Role.VIEWER, EVERY_LINE: Role.VIEWER})
    console.add("kim", {"press-9": Role.VIEWER})
    for name, status in (("pat", 200), ("kim", 200)):
        async with console.browser() as browser:
            await open_link(console, browser, name)
            response = await browser.get("/v1/lines")
            assert (response.status_code, response.json()) == (status, {"lines": []})


async def test_the_author_of_an_answer_is_the_account(console: RunningConsole) -> None:
    console.add("pat", Role.ANNOTATOR)
    async with console.browser() as browser:
        await open_link(console, browser, "pat")
        address = f"/v1/lines/{LINE_NAME}/captures/{name_of(1)}/corrections"
        response = await browser.post(address, params={"verdict": "good", "author": "the boss"})
    assert response.status_code == 201, response.text
    assert [one.author for one in console.plant.records()] == ["pat"]
