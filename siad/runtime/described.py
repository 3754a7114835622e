"""What a stage's OpenAPI description says of its addresses.

The description is the one list of addresses, methods, parameters and members of bodies: what it does not name, a
request may not send.
"""

from collections.abc import Iterator
from typing import Any, Final
from weakref import WeakKeyDictionary

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import iter_route_contexts

METHODS: Final = ("get", "put", "post", "delete", "patch")
_made: Final[WeakKeyDictionary[FastAPI, dict[tuple[str, str], dict[str, Any]]]] = WeakKeyDictionary()


def addresses(app: FastAPI) -> dict[str, list[str]]:
    """Methods of every address, by its template."""
    return {
        path: [method.upper() for method in METHODS if method in operations]
        for path, operations in app.openapi()["paths"].items()
    }


def methods_at(app: FastAPI, path: str) -> list[str]:
    """Methods of the address that a path matches; empty if none."""
    return next((methods for template, methods in addresses(app).items() if _matches(template, path)), [])


def query_parameters(app: FastAPI, path: str, method: str) -> list[str]:
    """Names of the query parameters of a request."""
    return [one["name"] for one in _operation(app, path, method).get("parameters", ()) if one["in"] == "query"]


def has_json_body(app: FastAPI, path: str, method: str) -> bool:
    """Whether a request has a JSON body."""
    return "application/json" in _content(_operation(app, path, method))


def body_members(app: FastAPI, path: str, method: str) -> list[str]:
    """Names of the members of a request's JSON body."""
    description = app.openapi()  # has the schemas that an operation refers to
    operations = (ways for template, ways in description["paths"].items() if _matches(template, path))
    operation: dict[str, Any] = next((ways[method.lower()] for ways in operations if method.lower() in ways), {})
    schema = _content(operation).get("application/json", {}).get("schema", {})
    return sorted({name for part in _parts(description, schema) for name in part.get("properties", ())})


def _operation(app: FastAPI, path: str, method: str) -> dict[str, Any]:
    """Description of one operation, made at its first request.

    To describe the whole app takes a third of a second of the console, and the first request would wait for it.
    """
    made = _made.setdefault(app, {})
    for route in iter_route_contexts(app.routes):
        template = route.path_format
        if template is None or method not in (route.methods or ()) or not _matches(template, path):
            continue
        if (template, method) not in made:
            paths = get_openapi(title=app.title, version=app.version, routes=[route])["paths"]
            made[template, method] = paths.get(template, {}).get(method.lower(), {})
        if made[template, method]:
            return made[template, method]
    return {}


def _content(operation: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = operation.get("requestBody", {}).get("content", {})
    return content


def _parts(description: dict[str, Any], schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A schema without its references and alternatives."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        yield from _parts(description, description["components"]["schemas"][name])
    for part in schema.get("anyOf", ()):
        yield from _parts(description, part)
    yield schema


def _matches(template: str, path: str) -> bool:
    parts, names = path.split("/"), template.split("/")
    return len(parts) == len(names) and all(
        name == part or (name.startswith("{") and part) for name, part in zip(names, parts, strict=True)
    )
