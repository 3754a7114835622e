"""Links and file names in the documents lead somewhere, the README stays short, decisions have their parts."""

import re
from pathlib import Path

import pytest

from tests.architecture.imports import ROOT

README_LINES_MAX = 130
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "charts/README.md",
]
ADRS = sorted((ROOT / "docs/adr").glob("[0-9]*.md"))
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
NAMED = re.compile(r"`((?:siad|services|tests|docs|protos|benchmarks|requirements)/[\w./-]*)`")
PARTS = ("Context", "Alternatives", "Decision", "Consequences")


def anchors(path: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def broken(path: Path) -> list[str]:
    """Links and names in a document that lead nowhere."""
    text = path.read_text(encoding="utf-8")
    found = []
    for link in LINK.findall(text):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = path.parent / name if name else path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            found.append(f"{path.relative_to(ROOT)}: link {link}")
    found += [f"{path.relative_to(ROOT)}: {name}" for name in NAMED.findall(text) if not (ROOT / name).exists()]
    return found


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_file_names_lead_somewhere(path: Path) -> None:
    assert broken(path) == []


def test_a_broken_link_and_a_missing_file_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A head\n[a](#a-head) [b](gone.md) [c](#no-head) `siad/gone.py` `siad/<name>.py`\n")
    monkeypatch.setattr("tests.architecture.test_documents.ROOT", tmp_path)
    assert broken(page) == ["page.md: link gone.md", "page.md: link #no-head", "page.md: siad/gone.py"]


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= README_LINES_MAX


def test_every_decision_has_a_number_of_its_own() -> None:
    numbers = [path.name[:4] for path in ADRS]
    assert sorted(set(numbers)) == numbers


@pytest.mark.parametrize("path", ADRS, ids=lambda path: path.name)
def test_a_decision_has_context_alternatives_and_consequences(path: Path) -> None:
    heads = re.findall(r"^## (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert [head for head in PARTS if head not in heads] == []
