"""What one operation is described as is what the whole description says of it."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, FastAPI, Query
from pydantic import BaseModel

from siad.runtime.described import body_members, has_json_body, methods_at, query_parameters


class Paint(BaseModel):
    shade: str
    coats: int = 1


class Wanted(BaseModel):
    tone: str = ""
    count: int = 1


def make() -> FastAPI:
    app, router = FastAPI(), APIRouter(prefix="/walls")

    @router.put("/{wall}")
    async def put(wall: str, paint: Paint, dry: bool = False) -> None: ...

    @router.get("/{wall}")
    async def get(wall: str, wanted: Annotated[Wanted, Query()]) -> None: ...

    @router.post("/{wall}/photo")
    async def photo(wall: str, data: Annotated[bytes, Body(media_type="image/png")]) -> None: ...

    @app.get("/walls/newest", include_in_schema=False)
    async def newest(hidden: str = "") -> None: ...

    app.include_router(router)
    return app


def test_an_operation_is_described_as_in_the_whole() -> None:
    app = make()
    assert query_parameters(app, "/walls/north", "PUT") == ["dry"]
    assert query_parameters(app, "/walls/north", "GET") == ["tone", "count"]
    assert app.openapi_schema is None  # the whole was not made for it
    for path, method in (("/walls/{wall}", "put"), ("/walls/{wall}", "get"), ("/walls/{wall}/photo", "post")):
        operation: dict[str, Any] = app.openapi()["paths"][path][method]
        asked = path.replace("{wall}", "north")
        named = [one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"]
        assert query_parameters(app, asked, method.upper()) == named
        body = "application/json" in operation.get("requestBody", {}).get("content", {})
        assert has_json_body(app, asked, method.upper()) is body


def test_addresses_bodies_and_what_is_not_described() -> None:
    app = make()
    assert body_members(app, "/walls/north", "PUT") == ["coats", "shade"]
    assert body_members(app, "/walls/north", "GET") == []
    assert methods_at(app, "/walls/north") == ["GET", "PUT"]
    assert query_parameters(app, "/floors/north", "GET") == []
    assert query_parameters(app, "/walls/newest", "GET") == ["tone", "count"]  # the hidden route is none to callers
