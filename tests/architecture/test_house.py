"""The house: the same words in every stage, small files, one home for every function."""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from siad.contracts.topics import STAGES, TOPICS

ROOT = Path(__file__).parents[2]
SERVICES = ROOT / "services"
BUILT = sorted(path.parent.name for path in SERVICES.glob("*/__init__.py"))
WORDS = {
    *("__init__.py", "__main__.py", "app.py", "settings.py", "handlers.py", "routes.py", "reconcile.py"),
    *("ports.py", "metrics.py", "access.py", "domain", "adapters"),
}
OWN_WORDS = {
    "ingest": {"wire.py"},
    "labeler": {"scorer", "scorer_api.py"},
    "trainer": {"job"},
    "console": {"web", "wire.py"},
}
EVERY_STAGE_HAS = {"__init__.py", "__main__.py", "app.py", "settings.py", "metrics.py"}
LINES_MAX, FUNCTION_LINES_MAX = 400, 60
VAGUE = re.compile(r".*(Manager|Helper|Utils?|Processor|(?<!In)Service|Base)")  # weights may well be in service
PRODUCT = sorted(
    path for folder in ("siad", "services") for path in (ROOT / folder).rglob("*.py") if "v1" not in path.parts
)
Function = ast.FunctionDef | ast.AsyncFunctionDef


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def functions(path: Path) -> Iterator[Function]:
    for node in ast.walk(tree(path)):
        if isinstance(node, Function):
            yield node


def test_every_stage_is_one_of_the_flow() -> None:
    assert set(BUILT) <= set(STAGES)


def test_every_stage_at_the_end_of_a_topic_is_built() -> None:
    assert {stage for topic in TOPICS for stage in (topic.writer, *topic.readers)} <= set(BUILT)


@pytest.mark.parametrize("stage", BUILT)
def test_a_stage_speaks_only_the_words_of_the_house(stage: str) -> None:
    found = {path.name for path in (SERVICES / stage).iterdir() if path.name != "__pycache__"}
    assert found <= WORDS | OWN_WORDS.get(stage, set())
    assert found >= EVERY_STAGE_HAS


@pytest.mark.parametrize("stage", BUILT)
def test_a_stage_says_what_comes_in_and_what_goes_out(stage: str) -> None:
    said = ast.get_docstring(ast.parse((SERVICES / stage / "__init__.py").read_text()))
    assert said
    assert "->" in said


def span(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def code_lines(function: Function) -> int:
    """A function's own lines: docstring and inner functions (routes) apart, which are looked at by themselves."""
    doc = span(function.body[0]) if ast.get_docstring(function) else 0
    return span(function) - doc - sum(span(inner) for inner in function.body if isinstance(inner, Function))


def test_files_and_functions_stay_small() -> None:
    long = [str(path.relative_to(ROOT)) for path in PRODUCT if len(path.read_text().splitlines()) > LINES_MAX]
    for path in PRODUCT:
        long += [
            f"{path.relative_to(ROOT)}:{function.lineno} {function.name}"
            for function in functions(path)
            if code_lines(function) > FUNCTION_LINES_MAX
        ]
    assert long == []


def test_no_class_has_a_vague_name() -> None:
    vague = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in PRODUCT
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ClassDef) and VAGUE.fullmatch(node.name)
    ]
    assert vague == []


def test_a_file_is_named_for_what_it_holds() -> None:
    vague = {"helpers.py", "helper.py", "utils.py", "util.py", "common.py", "misc.py", "manager.py", "base.py"}
    assert [str(path.relative_to(ROOT)) for path in PRODUCT if path.name in vague] == []
