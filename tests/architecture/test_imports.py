"""Import laws on the real tree; ``test_planted.py`` proves that each law finds its fault."""

import subprocess
import sys

import pytest

from tests.architecture.imports import ROOT, Tree, read_tree
from tests.architecture.laws import FLOOR_OF, IMPORT_LAWS, Law

HEAVY = {"numpy", "cv2", "scipy", "sklearn", "torch"}


@pytest.fixture(scope="module")
def tree() -> Tree:
    return read_tree()


@pytest.mark.parametrize("law", IMPORT_LAWS, ids=lambda law: law.__name__)
def test_the_tree_keeps_the_law(law: Law, tree: Tree) -> None:
    assert law(tree) == []


@pytest.mark.parametrize("room", FLOOR_OF)
def test_every_room_of_the_laws_exists(room: str) -> None:
    assert (ROOT / room.replace(".", "/")).is_dir(), "a law about a room that is gone passes in silence"


def test_decoding_an_event_loads_no_array_library() -> None:
    script = f"import sys, siad.contracts.codec; print(*sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout.split() == []
