"""Check the English of code and documents against the project's style.

    python tests/architecture/prose.py siad/runtime services/ingest README.md

prints every violation under the given files and folders, and exits with 1 if there are any. It needs only Python.

- No indefinite person: a process, reader, writer or caller has a name. In Python files this holds for every line
  (docstrings, comments, strings that users see, names of functions and tests), elsewhere for every line of text.
- A docstring's first line has at most ``WORDS_MAX`` words and does not open with a capital article.
- A class is named by a noun, not by a bare participle.

In tests only the first rule holds.
"""

import ast
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
PYTHON: Final = ("siad", "services", "benchmarks", "tests")
TEXT: Final = (".md", ".proto")
OURS: Final = ("README.md", "CHANGELOG.md", "docs", "charts", "protos", *PYTHON)

WORDS_MAX: Final = 12
# Spelled in parts, so that this file passes its own check. The lookarounds also find the words inside snake_case names.
PERSON: Final = re.compile(r"(?<![a-z])(?:(some|no|any)(?:body)|(who)(?:ever))(?![a-z])", re.IGNORECASE)
INSTEAD: Final = {
    "some": "name the process or user: 'an operator', 'another replica', 'the consumer'",
    "no": "say what holds: 'unused', 'no reader', 'never read by a stage'",
    "any": "name the reader or caller: 'any client', 'the caller', 'every replica'",
    "who": "name the process: 'the lease holder', 'the caller', 'the process that ...'",
}

PARTICIPLES: Final = frozenset(
    {
        *("Aged", "Announced", "Asked", "Begun", "Bound", "Built", "Chosen", "Done", "Drawn", "Forgotten", "Found"),
        *("Given", "Gone", "Held", "Kept", "Known", "Learnt", "Left", "Lost", "Made", "Met", "Put", "Read"),
        *("Redrawing", "Said", "Seen", "Sent", "Serving", "Shown", "Spoken", "Standing", "Taken", "Taught"),
        *("Teaching", "Told", "Waiting", "Wanting", "Written"),
    }
)
ED_NOUNS: Final = frozenset({"Bed", "Deed", "Embed", "Feed", "Need", "Reed", "Seed", "Shed", "Speed", "Weed"})

Words = Mapping[str, str]


def violations(tree: Words) -> list[str]:
    """Every violation in a tree of paths and texts, as ``path:line: what is wrong; what to write instead``."""
    found: list[str] = []
    for path, text in tree.items():
        lines = [*_persons(text)]
        if path.endswith(".py") and "tests" not in PurePosixPath(path).parts:
            lines += [*_of_python(text)]
        found += [f"{path}:{line}: {wrong}" for line, wrong in sorted(lines)]
    return found


def _persons(text: str) -> Iterator[tuple[int, str]]:
    if PERSON.search(text) is None:
        return
    for number, line in enumerate(text.splitlines(), 1):
        for match in PERSON.finditer(line):
            root = (match[1] or match[2]).lower()
            yield number, f"'{match[0]}' in '{_around(line, match)}'; {INSTEAD[root]}"


def _around(line: str, match: re.Match[str]) -> str:
    """The match with some words on both sides."""
    return line[max(0, match.start() - 30) : match.end() + 30].strip()


def _of_python(source: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef) and _is_participle(node.name):
            yield node.lineno, f"class {node.name} is a bare participle; name the thing it is, as FitRecord for Made"
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _first_line(node)


def _is_participle(name: str) -> bool:
    word = name.lstrip("_")
    if not re.fullmatch(r"[A-Z][a-z]+", word) or word in ED_NOUNS:
        return False
    return word in PARTICIPLES or word.endswith("ed")


def _first_line(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[tuple[int, str]]:
    doc = ast.get_docstring(node)
    if not doc:
        return
    first, number = doc.splitlines()[0].strip(), node.body[0].lineno
    if first.startswith("THE "):
        yield number, f"'{first}' opens with THE; say what it is: 'Message-bus port, implemented by ...'"
    if (count := _count(first)) > WORDS_MAX:
        advice = f"at most {WORDS_MAX}: what it is or does; the reason goes below"
        yield number, f"first line has {count} words: '{first}'; {advice}"


def _count(line: str) -> int:
    """Words of a line; code in backticks is one word, an arrow or dash is none."""
    plain = re.sub(r"(`+).+?\1", "code", line)
    return sum(any(letter.isalnum() for letter in word) for word in plain.split())


def read(paths: Iterable[Path], root: Path = ROOT) -> dict[str, str]:
    """Read what the check looks at under files and folders, by path relative to the root where it lies there."""
    found = {}
    for path in paths:
        files = [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.suffix in {".py", *TEXT})
        for file in files:
            whole = file.resolve()
            name = (whole.relative_to(root) if whole.is_relative_to(root) else file).as_posix()
            if not name.startswith("siad/v1/"):
                found[name] = whole.read_text(encoding="utf-8")
    return found


def main(arguments: list[str]) -> int:
    """Print the violations under the arguments, or under the whole project; the exit status says if there are any."""
    paths = [Path(argument) for argument in arguments] or [ROOT / name for name in OURS if (ROOT / name).exists()]
    if missing := [str(path) for path in paths if not path.exists()]:
        sys.stderr.write(f"no such file or folder: {', '.join(missing)}\n")
        return 2
    found = violations(read(paths))
    sys.stdout.write("".join(f"{one}\n" for one in found))
    sys.stderr.write(f"{len(found)} violations\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
