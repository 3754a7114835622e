"""Near-duplicate functions, found by token shingles.

A function body becomes a sequence of tokens in which all names, strings and numbers look alike; docstrings and
comments are dropped. A shingle is a run of ``SHINGLE`` tokens. Two functions are near-duplicates when the Jaccard index
of their shingle sets (shared / all; A. Broder, "On the resemblance and containment of documents", 1997) is at least
``ALIKE``. So a copy is found after its names changed and a line was added, which equal syntax trees do not show.

The numbers were set on the tree of November 2026, where 28 pairs are at least 0.5 alike: among them the boot code of
the stages, the two release publishers and the two file locks. ``DISTINCT_MIN`` keeps out constructors that copy fields
one by one.
"""

import ast
import keyword
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Final

from tests.architecture.imports import Tree, parse

SHINGLE: Final = 9  # tokens
DISTINCT_MIN: Final = 25  # different shingles in a function; smaller ones look alike by chance
ALIKE: Final = 0.5  # Jaccard index, 0..1
COMMON: Final = 40  # a shingle in more functions than this does not make a candidate pair
ADVICE: Final = "near-duplicates: keep one and call it from both places, or allow the pair with a reason"

TOKEN: Final = re.compile(
    r"""
    (?P<comment>\#[^\n]*)
    | (?P<string>[rbfuRBFU]{0,2}(?:
        \"{3}(?:[^\\]|\\.)*?\"{3} | '{3}(?:[^\\]|\\.)*?'{3} | "(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.)*'
      ))
    | (?P<number>\d[\w.]*)
    | (?P<name>[^\W\d]\w*)
    | (?P<operator>\*\*|//|->|:=|[=!<>+\-*/%&|^@]=|<<|>>|[^\s\w])
    """,
    re.VERBOSE | re.DOTALL,
)

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Sample:
    """One function and its shingles."""

    path: str
    name: str
    first: int
    last: int
    shingles: frozenset[int]

    @property
    def key(self) -> str:
        return f"{self.path}::{self.name}"

    def overlaps(self, other: "Sample") -> bool:
        """One lies inside the other."""
        return self.path == other.path and self.first <= other.last and other.first <= self.last


def duplicates(tree: Tree, allowed: Mapping[frozenset[str], str] | None = None) -> list[str]:
    """Violations: pairs of functions that are alike and not allowed; and allowed pairs that are no longer alike."""
    allowed = allowed or {}
    found, seen = [], set()
    for alike, one, other in _pairs(tree):
        pair = frozenset({one.key, other.key})
        seen.add(pair)
        if pair not in allowed:
            where = f"{one.path}:{one.first} {one.name} and {other.path}:{other.first} {other.name}"
            found.append(f"{where} share {alike:.0%} of their shingles, {ADVICE}")
    gone = [f"{' and '.join(sorted(pair))} are no near-duplicates: remove the entry" for pair in allowed.keys() - seen]
    return found + sorted(gone)


def _pairs(tree: Tree) -> list[tuple[float, Sample, Sample]]:
    """All pairs at least ``ALIKE``, most alike first."""
    samples = [sample for path, source in tree.items() for sample in _samples(path, source)]
    holders: dict[int, list[int]] = defaultdict(list)
    for index, sample in enumerate(samples):
        for shingle in sample.shingles:
            holders[shingle].append(index)
    candidates: Counter[tuple[int, int]] = Counter()
    for indices in holders.values():
        if len(indices) <= COMMON:
            candidates.update(combinations(indices, 2))
    pairs = []
    for left, right in candidates:
        one, other = samples[left], samples[right]
        shared = len(one.shingles & other.shingles)
        alike = shared / (len(one.shingles) + len(other.shingles) - shared)
        if alike >= ALIKE and not one.overlaps(other):
            pairs.append((alike, one, other))
    return sorted(pairs, key=lambda pair: (-pair[0], pair[1].key, pair[2].key))


def _samples(path: str, source: str) -> Iterator[Sample]:
    lines = source.splitlines(keepends=True)
    for name, function in _functions(parse(source), ""):
        body = function.body[1:] if ast.get_docstring(function, clean=False) is not None else function.body
        if not body:
            continue
        text = "".join(lines[body[0].lineno - 1 : body[-1].end_lineno])
        shingles = _shingles(text)
        if len(shingles) >= DISTINCT_MIN:
            yield Sample(path, name, function.lineno, function.end_lineno or function.lineno, shingles)


def _functions(node: ast.AST, prefix: str) -> Iterator[tuple[str, Function]]:
    """Every function with its qualified name."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function):
            yield f"{prefix}{child.name}", child
        inner = f"{prefix}{child.name}." if isinstance(child, Function | ast.ClassDef) else prefix
        if isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):
            yield from _functions(child, inner)


def _shingles(text: str) -> frozenset[int]:
    tokens = list(_tokens(text))
    return frozenset(hash(tuple(tokens[at : at + SHINGLE])) for at in range(len(tokens) - SHINGLE + 1))


def _tokens(text: str) -> Iterator[str]:
    """Tokens with names, strings and numbers made alike."""
    for match in TOKEN.finditer(text):
        kind, token = match.lastgroup, match.group()
        if kind == "comment":
            continue
        if kind == "operator" or (kind == "name" and keyword.iskeyword(token)):
            yield token
        else:
            yield f"<{kind}>"
