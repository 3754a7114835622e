"""Every route of a stage has an entry in the stage's access table, and every entry a route."""

import importlib
from collections.abc import Mapping

import pytest

from docs.generator.routes import Route, all_routes, routes_in
from docs.generator.settings import STAGES
from services.console.access import ROUTES as CONSOLE
from siad.contracts.access import Role, roles_with
from siad.runtime.access.table import RouteNeed

# What each role may do in the console, written down apart from its table; a route that is not here is for admins alone.
EVERY_ROLE, ANSWERING, CHANGING = list(Role), list(Role)[1:], list(Role)[2:]
ROLES_OF = {
    "PUT /v1/lines/{line}/captures/{capture}/lease": EVERY_ROLE,
    "DELETE /v1/lines/{line}/captures/{capture}/lease": EVERY_ROLE,
    "PUT /v1/lines/{line}/captures/{capture}/deferral": ANSWERING,
    "DELETE /v1/lines/{line}/captures/{capture}/deferral": ANSWERING,
    "POST /v1/lines/{line}/captures/{capture}/corrections": ANSWERING,
    "PUT /v1/lines/{line}/commands/{command}": CHANGING,
    "PUT /v1/lines/{line}/settings": CHANGING,
    "POST /v1/lines/{line}/images": CHANGING,
    "POST /v1/lines/{line}/import": CHANGING,
}
INSIDE = ("services/labeler/scorer/",)  # answers the labeler alone, on loopback or within Ray


def routes_of(stage: str) -> list[Route]:
    folder = f"services/{stage}/"
    return [route for route in all_routes() if route.file.startswith(folder) and not route.file.startswith(INSIDE)]


def differences(routes: list[Route], table: Mapping[str, RouteNeed]) -> list[str]:
    named = {f"{route.method.upper()} {route.path}": route.file for route in routes}
    missing = [f"{file} answers {name}: say in access.py what it needs" for name, file in named.items()
               if name not in table]  # fmt: skip
    return missing + [f"access.py has {name}, which no route answers" for name in table if name not in named]


def roles_for(route: str) -> list[str]:
    """Roles that a route of the console is for; every role may read."""
    return [role.value for role in ROLES_OF.get(route, EVERY_ROLE if route.startswith("GET ") else [Role.ADMIN])]


def test_the_roles_of_each_route_of_the_console_are_meant() -> None:
    given = {route: roles_with(need.permission) for route, need in CONSOLE.items() if need.permission is not None}
    assert {route: roles for route, roles in given.items() if roles != roles_for(route)} == {}
    assert set(ROLES_OF) <= set(CONSOLE)


@pytest.mark.parametrize("stage", STAGES)
def test_every_route_says_what_it_needs(stage: str) -> None:
    table = importlib.import_module(f"services.{stage}.access").ROUTES
    routes = routes_of(stage)
    assert routes
    assert differences(routes, table) == []


def test_a_forgotten_route_is_named() -> None:
    source = "router = APIRouter(prefix='/v1/lines')\n@router.put('/{line}/freeze')\nasync def freeze() -> None: ..."
    routes = list(routes_in(source, "services/console/web/freeze.py"))
    assert differences(routes, {}) == [
        "services/console/web/freeze.py answers PUT /v1/lines/{line}/freeze: say in access.py what it needs"
    ]
    assert differences([], {"GET /v1/x": RouteNeed(None)}) == ["access.py has GET /v1/x, which no route answers"]
