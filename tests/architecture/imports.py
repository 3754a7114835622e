"""Read the imports of a source tree.

A tree maps paths, relative to the repository root, to source text. A law is a function of a tree, so that it can be run
both on the repository and on a few planted lines.
"""

import ast
import functools
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

Tree = Mapping[str, str]

ROOT = Path(__file__).parents[2]
PRODUCT = ("siad", "services")


@dataclass(frozen=True, slots=True)
class Import:
    """One imported name.

    ``target`` is the full dotted name: ``from numpy import random`` gives ``numpy.random``, whether that is a module or
    an attribute. ``only_types`` marks imports under ``if TYPE_CHECKING``, which never run.
    """

    path: str
    line: int
    target: str
    bound_as: str
    only_types: bool

    def __str__(self) -> str:
        return f"{self.path}:{self.line} imports {self.target}"


def read_tree(root: Path = ROOT, folders: Iterable[str] = PRODUCT) -> dict[str, str]:
    """Read every Python file under the folders, except generated code."""
    return {
        path.relative_to(root).as_posix(): path.read_text(encoding="utf-8")
        for folder in folders
        for path in sorted((root / folder).rglob("*.py"))
        if not within(module_of(path.relative_to(root).as_posix()), "siad.v1")
    }


@functools.cache
def parse(source: str) -> ast.Module:
    """Parse source text once, however many laws look at it."""
    return ast.parse(source)


@functools.cache
def nodes(source: str) -> tuple[ast.AST, ...]:
    """All syntax nodes of source text, outer nodes first."""
    return tuple(ast.walk(parse(source)))


def module_of(path: str) -> str:
    """Dotted module name of a path: ``siad/contracts/ids.py`` is ``siad.contracts.ids``."""
    parts = PurePosixPath(path).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def within(name: str, *packages: str) -> bool:
    """Whether a dotted name is one of the packages or lies inside one."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)


@functools.cache
def imports_of(path: str, source: str) -> tuple[Import, ...]:
    """Every import of a file, also those inside functions and ``import_module("literal")``."""
    only_types = _lines_for_types(source)
    found = []
    for node in nodes(source):
        for target, bound_as in _targets(path, node):
            line = getattr(node, "lineno", 0)
            found.append(Import(path, line, target, bound_as, only_types=line in only_types))
    return tuple(found)


def all_imports(tree: Tree, *packages: str) -> Iterator[Import]:
    """The imports of every file inside the packages."""
    for path, source in tree.items():
        if within(module_of(path), *packages):
            yield from imports_of(path, source)


def _targets(path: str, node: ast.AST) -> Iterator[tuple[str, str]]:
    match node:
        case ast.Import(names=names):
            for alias in names:
                yield alias.name, alias.asname or alias.name
        case ast.ImportFrom(names=names):
            base = _base(path, node)
            for alias in names:
                yield (base if alias.name == "*" else f"{base}.{alias.name}"), alias.asname or alias.name
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=[ast.Constant(value=str(target)), *_]):
            if name in {"import_module", "__import__"}:
                yield target, ""
        case _:
            return


def _base(path: str, node: ast.ImportFrom) -> str:
    """The package that a ``from`` import starts at; relative dots are resolved."""
    if not node.level:
        return node.module or ""
    package = PurePosixPath(path).parts[: -node.level]
    return ".".join((*package, *([node.module] if node.module else [])))


def _lines_for_types(source: str) -> frozenset[int]:
    """Lines under ``if TYPE_CHECKING``."""
    if "TYPE_CHECKING" not in source:
        return frozenset()
    lines: set[int] = set()
    for node in nodes(source):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            for statement in node.body:
                lines.update(range(statement.lineno, (statement.end_lineno or statement.lineno) + 1))
    return frozenset(lines)


def used_names(path: str, source: str) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of every name used, with import aliases resolved.

    ``np.random.rand`` after ``import numpy as np`` gives ``numpy.random.rand``; only the longest chain is given.
    """
    aliases = {one.bound_as: one.target for one in imports_of(path, source) if one.bound_as}
    aliases |= {name.partition(".")[0]: name.partition(".")[0] for name in aliases if "." in name}
    inner: set[int] = set()
    for node in nodes(source):
        if not isinstance(node, ast.Attribute | ast.Name) or id(node) in inner:
            continue
        chain: list[str] = []
        head: ast.expr = node
        while isinstance(head, ast.Attribute):
            chain.append(head.attr)
            head = head.value
            inner.add(id(head))
        if isinstance(head, ast.Name):
            yield node.lineno, ".".join([aliases.get(head.id, head.id), *reversed(chain)])


def import_graph(tree: Tree) -> dict[str, set[str]]:
    """Which modules run when a module is imported: its imports, its lazy imports and the packages around them.

    Modules outside the tree stand under the name of their top package.
    """
    modules = {module_of(path) for path in tree}
    graph: dict[str, set[str]] = {module: set() for module in modules}
    for path, source in tree.items():
        module = module_of(path)
        graph[module] |= set(_parents(module)) & modules
        for one in imports_of(path, source):
            if not one.only_types:
                names = [one.target, *_parents(one.target)]
                known = [name for name in names if name in modules]
                graph[module] |= set(known or [one.target.partition(".")[0]])
        graph[module].discard(module)
    return graph


def _parents(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:end]) for end in range(len(parts) - 1, 0, -1)]


def shortest_chain(graph: Mapping[str, set[str]], start: str, goals: Collection[str]) -> list[str] | None:
    """The shortest import chain from a module to one of the goals; None where there is none."""
    before: dict[str, str] = {start: ""}
    queue = deque([start])
    while queue:
        module = queue.popleft()
        if module in goals:
            chain = [module]
            while before[chain[-1]]:
                chain.append(before[chain[-1]])
            return chain[::-1]
        for following in sorted(graph.get(module, ())):
            if following not in before:
                before[following] = module
                queue.append(following)
    return None
