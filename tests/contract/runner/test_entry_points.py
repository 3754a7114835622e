"""Runners of other packages: the example of docs/models/runners.md, installed as a package would be."""

import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from siad.contracts.manifest import Manifest
from siad.models.bundle import describe_parts
from siad.models.runner import onnxruntime
from siad.models.runner import open as choice
from siad.models.runner.open import RUNNERS, known_runners, open_runner, require_known
from tests.contract.runner.test_runner_contract import MANIFEST, segmenter_parts

PAGE = Path(__file__).parents[3] / "docs/models/runners.md"
NAME = "onnx-reference"


def manifest() -> Manifest:
    return replace(MANIFEST, parts=describe_parts(segmenter_parts()))


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of installed packages, with the example of the page in it."""
    [code] = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    [entry] = re.findall(r"```toml\n.*?\n(.*?)\n```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "siad_onnx_reference.py").write_text(code)
    info = tmp_path / "siad_onnx_reference-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: siad-onnx-reference\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        f"[siad.runners]\n{entry.replace(chr(34), '')}\ntorch = siad_onnx_reference\nbroken = siad_broken_runner\n"
    )
    (tmp_path / "siad_broken_runner.py").write_text("raise OSError('libbroken.so not found')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    known_runners.cache_clear()
    yield tmp_path
    known_runners.cache_clear()
    sys.modules.pop("siad_onnx_reference", None)


def test_the_example_of_the_page_gives_the_scores_of_other_runners(packages: Path) -> None:
    runner = open_runner(manifest(), segmenter_parts(), check=lambda _: None, wanted=NAME)
    assert runner.name == NAME
    noise_BCHW = np.random.default_rng(0).normal(0, 0.5, (2, 3, 64, 96)).astype(np.float32)
    expected_BVhw = onnxruntime.make_runner(MANIFEST, segmenter_parts()).run(noise_BCHW)
    np.testing.assert_allclose(runner.run(noise_BCHW), expected_BVhw, atol=1e-3 * np.abs(expected_BVhw).max())


def test_a_package_cannot_replace_a_runner_of_this_code(packages: Path) -> None:
    assert known_runners()["torch"] == RUNNERS["torch"]


def test_a_package_whose_import_fails_is_passed_over(packages: Path) -> None:
    assert choice._module("broken") is None


def test_a_setting_may_name_an_installed_runner_alone(packages: Path) -> None:
    assert require_known(NAME) == NAME
    with pytest.raises(ValueError, match=r"no runner is named 'litert'; known are auto, exact, .*onnx-reference"):
        require_known("litert")
