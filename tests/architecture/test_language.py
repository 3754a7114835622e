"""Language laws on the real tree; ``test_planted.py`` proves that each law finds its fault."""

import pytest

from tests.architecture.imports import Tree, read_tree
from tests.architecture.laws import LANGUAGE_LAWS, Law


@pytest.fixture(scope="module")
def tree() -> Tree:
    return read_tree(folders=("siad", "services", "benchmarks"))


@pytest.mark.parametrize("law", LANGUAGE_LAWS, ids=lambda law: law.__name__)
def test_the_tree_keeps_the_law(law: Law, tree: Tree) -> None:
    assert law(tree) == []
