"""HTTP routes, read from the decorators in the source.

Importing the routes instead would load Ray and torch, with the scorer and inference.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from docs.generator.table import code, sentence, table

ROOT: Final = Path(__file__).resolve().parents[2]
METHODS: Final = ("get", "put", "post", "delete", "patch")
MAKERS: Final = ("APIRouter", "FastAPI")


@dataclass(frozen=True, slots=True, order=True)
class Route:
    """One method of one path."""

    file: str
    path: str
    method: str
    text: str


def routes_chapter() -> str:
    """Every route, by the process that answers it."""
    head = (
        "Errors are problems (RFC 9457, `application/problem+json`): `type` is `urn:siad:problem:<code>`, `detail` "
        "says what happened and what to change. 503 means: nothing was done or lost, repeat the request after "
        "`Retry-After`. A stage describes its routes as OpenAPI at `/openapi.json` and `/docs`."
    )
    parts = [head]
    routes = list(all_routes())
    for file in sorted({route.file for route in routes}, key=lambda file: (not file.startswith("siad"), file)):
        rows = [(route.method.upper(), code(route.path), route.text) for route in routes if route.file == file]
        parts += [f"### {_process(file)}", f"From `{file}`.", table(("method", "path", "answer"), rows)]
    return "\n\n".join(parts)


def _process(file: str) -> str:
    parts = file.split("/")
    if parts[0] == "siad":
        return "Every stage"
    return "Scorer (on loopback, called by the labeler)" if "scorer" in parts else parts[1].capitalize()


def all_routes() -> Iterator[Route]:
    """Every route of the product."""
    for folder in ("siad", "services"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            source = path.read_text(encoding="utf-8")
            if any(maker in source for maker in MAKERS):
                yield from routes_in(source, path.relative_to(ROOT).as_posix())


def routes_in(source: str, file: str) -> Iterator[Route]:
    """The routes that a file declares by decorators, in its order."""
    tree = ast.parse(source)
    owner = {
        name: _prefix(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)
        for name in _made(node)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef):
            for decorator in node.decorator_list:
                match decorator:
                    case ast.Call(
                        func=ast.Attribute(value=ast.Name(id=name), attr=method),
                        args=[ast.Constant(value=str(path)), *_],
                    ) if method in METHODS and name in owner:
                        found.append((node.lineno, Route(file, owner[name] + path, method, _text(node))))
                    case _:
                        continue
    return (route for _, route in sorted(found))


def _made(node: ast.Assign) -> Iterator[str]:
    match node.value:
        case ast.Call(func=ast.Name(id=maker)) if maker in MAKERS:
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))
        case _:
            return


def _prefix(call: ast.Call) -> str:
    for keyword in call.keywords:
        if keyword.arg == "prefix" and isinstance(keyword.value, ast.Constant):
            return str(keyword.value.value)
    return ""


def _text(node: ast.AsyncFunctionDef | ast.FunctionDef) -> str:
    return sentence((ast.get_docstring(node) or "").partition("\n\n")[0])
