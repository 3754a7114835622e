"""Images hold what their stage imports: packages, and codecs that the trim leaves."""

import re
import subprocess
import sys
from collections.abc import Mapping
from typing import Final

import grimp
import pytest

from tests.architecture.imports import ROOT
from tests.architecture.test_dependencies import DISTRIBUTION_OF

IMAGES: Final = ROOT / "requirements/images"
# Modules that a stage loads by name.
BY_NAME: Final[Mapping[str, tuple[str, ...]]] = {
    "ingest": (),
    "inference": ("siad.models.runner.onnxruntime", "siad.models.runner.openvino"),
}
# Imports of a stage's modules that the stage never runs.
NEVER_RUN: Final[Mapping[str, set[str]]] = {
    "ingest": set(),
    "inference": {"scikit-learn"},  # ranking.py imports it within functions of evaluations
}
NOT_IMPORTED: Final = {"python-multipart"}  # Starlette reads forms with it


def packages_of(stage: str) -> set[str]:
    """The packages of a stage's image, by its list."""
    lines = (IMAGES / f"{stage}.in").read_text(encoding="utf-8").splitlines()
    return {re.split(r"[\[=]", line)[0] for line in lines if line and not line.startswith("#")}


def imported_by(stage: str) -> set[str]:
    """The packages that a stage's modules import, also within functions."""
    graph = grimp.build_graph("siad", "services", include_external_packages=True, cache_dir=None)
    modules: set[str] = set()
    for root in (f"services.{stage}.__main__", *BY_NAME[stage]):
        modules |= graph.find_upstream_modules(root)
    tops = {module.partition(".")[0] for module in modules} - {"siad", "services"} - set(sys.stdlib_module_names)
    return {DISTRIBUTION_OF.get(top, top.replace("_", "-")) for top in tops}


@pytest.mark.parametrize("stage", sorted(BY_NAME))
def test_an_image_has_every_package_that_its_stage_imports(stage: str) -> None:
    missing = imported_by(stage) - packages_of(stage) - NEVER_RUN[stage]
    assert missing == set(), f"add them to requirements/images/{stage}.in"


@pytest.mark.parametrize("stage", sorted(BY_NAME))
def test_an_image_has_no_package_that_its_stage_never_imports(stage: str) -> None:
    unused = packages_of(stage) - imported_by(stage) - NOT_IMPORTED
    assert unused == set(), f"remove them from requirements/images/{stage}.in"


def test_the_trim_leaves_every_codec_that_is_imported() -> None:
    listed = re.search(r"^codecs='(.*)'$", (IMAGES / "trim.sh").read_text(encoding="utf-8"), re.MULTILINE)
    assert listed is not None
    loaded = subprocess.run(
        [
            *(sys.executable, "-c"),
            "import sys, siad.vision.images; print(*(m for m in sys.modules if m.startswith('imagecodecs._')))",
        ],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    ).stdout.split()
    assert {name.removeprefix("imagecodecs.") for name in loaded} == set(listed[1].split())
