"""HTTP routes, read from the decorators in the source.

Importing the routes instead would load Ray and torch, with the scorer and inference.
"""

import ast
from collections.abc import Iterator, Mapping
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
        "`Retry-After`. With `SIAD_AUTH=required` a request needs credentials "
        "([access](operate.md#access)): 401 says that they are missing or ended, 403 what they don't allow. Query "
        "parameters, form fields and JSON members that a route does not have are refused (422), "
        "and so is one that is given twice with different values. A stage describes its routes as OpenAPI at "
        "`/openapi.json` and `/docs`."
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
    yield from _routes_of(tree, file, {}, paths_in(tree))


def paths_in(tree: ast.Module) -> dict[str, str]:
    """Text constants that a module declares or imports from the product."""
    found = {}
    for node in tree.body:
        match node:
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.Constant(value=str(text))):
                found[name] = text
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=str(text))):
                found[name] = text
            case ast.ImportFrom(module=str(module), names=names) if module.partition(".")[0] in {"siad", "services"}:
                path = (ROOT / module.replace(".", "/")).with_suffix(".py")
                if path.exists() and any(alias.name.endswith("_PATH") for alias in names):
                    known = paths_in(ast.parse(path.read_text(encoding="utf-8")))
                    found |= {alias.asname or alias.name: known[alias.name] for alias in names if alias.name in known}
            case _:
                continue
    return found


def _routes_of(scope: ast.AST, file: str, owners: Mapping[str, str], paths: Mapping[str, str]) -> Iterator[Route]:
    """The routes of one scope, given the routers around it."""
    prefixes = dict(owners)
    for node in ast.iter_child_nodes(scope):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=ast.Name(id=maker)) as call):
                if maker in MAKERS:
                    prefixes[name] = _prefix(call)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield from _decorated(node, file, prefixes, paths)
                yield from _routes_of(node, file, prefixes, paths)
            case ast.ClassDef():
                yield from _routes_of(node, file, prefixes, paths)
            case _:
                continue


def _decorated(
    node: ast.FunctionDef | ast.AsyncFunctionDef, file: str, prefixes: Mapping[str, str], paths: Mapping[str, str]
) -> Iterator[Route]:
    for decorator in node.decorator_list:
        match decorator:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=owner), attr=method), args=[path, *_]) if (
                owner in prefixes and method in METHODS
            ):
                text = paths.get(path.id) if isinstance(path, ast.Name) else ast.literal_eval(path)
                if text is None:
                    msg = f"{file}:{node.lineno}: the path {ast.unparse(path)} is no constant ending in _PATH"
                    raise ValueError(msg)
                yield Route(file, prefixes[owner] + text, method, _text(node))
            case _:
                continue


def _prefix(call: ast.Call) -> str:
    for keyword in call.keywords:
        if keyword.arg == "prefix" and isinstance(keyword.value, ast.Constant):
            return str(keyword.value.value)
    return ""


def _text(node: ast.AsyncFunctionDef | ast.FunctionDef) -> str:
    return sentence((ast.get_docstring(node) or "").partition("\n\n")[0])
