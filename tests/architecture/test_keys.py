"""Keys of the store are spelled in ``siad.contracts.keys``, and places in ``siad.contracts.place``, alone."""

import ast
import re
from collections.abc import Iterator
from typing import Final

import pytest

from docs.generator.events import store_keys
from siad.contracts.store_grants import PREFIXES, store_grant_of
from siad.contracts.topics import STAGES
from tests.architecture.imports import ROOT, Tree, nodes, parse, read_tree

KEYS: Final = "siad/contracts/keys.py"
ACCESS_KEYS: Final = "siad/contracts/access_keys.py"
TRIAL_KEYS: Final = "siad/contracts/trial_keys.py"
MAKERS: Final = (KEYS, ACCESS_KEYS, TRIAL_KEYS)
GRANTS: Final = "siad/contracts/store_grants.py"  # rights are given by prefix
PLACE: Final = "siad/contracts/place.py"


def kinds_of_objects(source: str) -> frozenset[str]:
    """First parts of all keys that ``keys.py`` builds, such as ``images``."""
    texts = [template(node) for node in nodes(source) if isinstance(node, (ast.JoinedStr, ast.Constant))]
    return frozenset(match[1] for text in texts if (match := re.match(r"([a-z-]+)/(?![ .])", text)))


def template(node: ast.AST) -> str:
    """Text of a string, with ``{}`` in place of each value; empty where the node is none."""
    match node:
        case ast.JoinedStr(values=values):
            return "".join(template(value) if isinstance(value, ast.Constant) else "{}" for value in values)
        case ast.Constant(value=str(text)):
            return text
        case _:
            return ""


def docstrings(source: str) -> set[int]:
    """Nodes, by identity, that are the docstring of a module, class or function."""
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    first = [node.body[0] for node in nodes(source) if isinstance(node, owners) and node.body]
    return {id(statement.value) for statement in first if isinstance(statement, ast.Expr)}


def strings(source: str) -> Iterator[tuple[int, str]]:
    """Line and template of every string that is no docstring; an f-string counts once, whole."""
    skipped = docstrings(source)
    for node in nodes(source):
        if isinstance(node, ast.JoinedStr):
            skipped |= {id(value) for value in node.values}
            yield node.lineno, template(node)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            yield node.lineno, node.value


def keys_come_from_keys(tree: Tree) -> list[str]:
    """Every key and prefix is built and parsed in ``siad/contracts/keys.py``."""
    kinds = "|".join(sorted(frozenset[str]().union(*(kinds_of_objects(tree.get(maker, "")) for maker in MAKERS))))
    spelled = re.compile(rf"(?:{kinds})/(?:|\{{\}}.*|.*/.*|[^ ]*\.json)")
    return [
        f"{path}:{line} spells the key {text!r}: add a function to {KEYS}"
        for path, source in tree.items()
        if path not in (*MAKERS, GRANTS)
        for line, text in strings(source)
        if spelled.fullmatch(text)
    ]


def places_come_from_place(tree: Tree) -> list[str]:
    """Text of the form line/product is written by ``str(Place(...))``."""
    found = []
    for path, source in tree.items():
        for node in nodes(source):
            match node:
                case ast.JoinedStr(
                    values=[ast.FormattedValue(value=line), ast.Constant(value="/"), ast.FormattedValue(value=product)]
                ) if path != PLACE and (ast.unparse(line)[-4:], ast.unparse(product)[-7:]) == ("line", "product"):
                    found.append(f"{path}:{node.lineno} writes {ast.unparse(node)}: use str(Place(line, product))")
                case _:
                    continue
    return found


@pytest.fixture(scope="module")
def tree() -> Tree:
    return read_tree(ROOT, ("siad", "services"))


def test_keys_are_spelled_in_one_module(tree: Tree) -> None:
    assert keys_come_from_keys(tree) == []


def test_places_are_spelled_in_one_module(tree: Tree) -> None:
    assert places_come_from_place(tree) == []


@pytest.mark.parametrize(
    "planted",
    [
        'blobs.list(f"normals/{line}/")',
        'blobs.list("normals/")',
        'blobs.get(f"pointers/{kind.value}/{line}/{product}.json")',
        'blobs.get("books/books.json")',
        'PREFIX = "weights/"',
        'key.startswith("images/")',
        'blobs.list("access/")',
    ],
)
def test_a_planted_key_is_found(tree: Tree, planted: str) -> None:
    known = {path: tree[path] for path in MAKERS}
    assert len(keys_come_from_keys({**known, "services/x.py": planted})) == 1


@pytest.mark.parametrize(
    "planted", ['"images/s"', '"""Images at images/<line>/<day>."""', 'f"{line}/images/"', '"a/b/"']
)
def test_other_text_is_no_key(tree: Tree, planted: str) -> None:
    assert keys_come_from_keys({KEYS: tree[KEYS], "services/x.py": planted}) == []


def test_a_planted_place_is_found() -> None:
    assert len(places_come_from_place({"services/x.py": 'key = f"{pointer.line}/{pointer.product}"'})) == 1
    assert places_come_from_place({"services/x.py": 'key = f"{line}/{shard}"'}) == []


def test_the_kinds_are_read_from_the_code(tree: Tree) -> None:
    kinds = kinds_of_objects(tree[KEYS])
    assert {"images", "normals", "pointers", "weights", "checkpoints", "books"} <= kinds
    assert parse(tree[KEYS])


OF_OPERATORS: Final = ("quarantine/", "dead-letters/", "deletions/", "probes/doctor/")


def test_every_kind_of_object_has_a_stage_that_may_write_it() -> None:
    found = [key.replace("<kind>", kind) for key, _ in store_keys() for kind in ("teacher", "segmenter")]
    written = tuple(prefix for stage in STAGES for prefix in store_grant_of(stage).writes)
    without = {key for key in found if not key.startswith((*written, *OF_OPERATORS))}
    assert without == set(), "add a prefix to siad/contracts/store_grants.py"
    assert [prefix for prefix in PREFIXES if not any(key.startswith(prefix) for key in found)] == []
