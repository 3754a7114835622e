"""Exports judge as SIAD does, in a process that has neither SIAD nor torch nor Ray."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from siad.apps.cli.__main__ import app
from siad.contracts import keys
from siad.contracts.documents import LineState, write_line
from siad.contracts.events import WeightsKind
from siad.contracts.normals_profile import SizeRule
from siad.models.bundle import GOLDEN, Bundle, describe_parts, golden_crops, golden_part, open_bundle
from siad.models.export.folder import ExportError, export_files
from siad.models.export.target import ExportTarget
from siad.models.graph import GRAPH_PARTS
from siad.models.graph_export import add_graph
from siad.models.residual import CorrectionSettings, new_residual, parts_of
from siad.models.runner.torch import TorchRunner
from siad.models.teachers.feature_memory import fit, read_memory
from siad.vision.images import Image, decode_image
from siad.vision.plausibility import Misfit, profile_normals
from siad.vision.threshold_in_use import threshold_in_use
from tests.synthetic import LINE, TINY, normals_of, part_image, release, settings
from tests.unit.apps.cli.plant import MemoryPlant

BLOCKED = """
import runpy, sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"siad", "services", "torch", "ray", "onnx", "safetensors", "scipy"}:
            raise ModuleNotFoundError(f"{name} is blocked", name=name)
sys.meta_path.insert(0, Blocker())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
TRIANGLE = (0.1, 0.15, 0.95, 0.2, 0.5, 0.93)  # a region without a side along the pixels


def teacher(normals: Sequence[Image], *, region: tuple[float, ...] = (), bits: int = 8) -> Bundle:
    """A tiny teacher with a graph, which knows its normals and judges half-way between good parts and blobs."""
    made = fit(normals_of(normals), false_reject_budget=0.1, recipe=TINY)
    manifest = replace(made.manifest, profile=profile_normals(normals, bits), region=region)
    return add_graph(Bundle(manifest, made.parts), [part_image(0)])


@cache
def grey_teacher() -> Bundle:
    return teacher([part_image(seed) for seed in range(8)])


@cache
def segmenter() -> Bundle:
    """A residual of the teacher, whose correction is drawn at random."""
    base = grey_teacher()
    network = new_residual(read_memory(base.parts), CorrectionSettings(threshold=1.0, trust=0.5))
    torch.manual_seed(0)
    with torch.no_grad():
        torch.nn.init.normal_(network.decoder.head.weight, std=0.1)
    parts = {name: data for name, data in parts_of(network, base.parts).items() if name not in GRAPH_PARTS}
    parts[GOLDEN] = golden_part(TorchRunner(network), golden_crops(part_image(0)))
    manifest = replace(base.manifest, kind=WeightsKind.SEGMENTER, method="residual", parts=describe_parts(parts))
    return add_graph(Bundle(manifest, parts), [part_image(0)])


def colour(seed: int, *, defect: bool = False) -> Image:
    """A part in colour."""
    grey = part_image(seed, defect=defect)
    return np.concatenate([grey, 255 - grey, grey // 2], axis=2)


def deep(seed: int, *, defect: bool = False) -> Image:
    """A part of 12 bits in a file of 16."""
    return part_image(seed, defect=defect).astype(np.uint16) * 16


def write(folder: Path, images: Sequence[Image]) -> None:
    folder.mkdir()
    for index, image_HWC in enumerate(images):
        pixels = image_HWC if image_HWC.shape[2] == 1 else cv2.cvtColor(image_HWC, cv2.COLOR_RGB2BGR)
        assert cv2.imwrite(str(folder / f"{index:03d}.png"), pixels)
    (folder / "notes.txt").write_text("no image")


def export(made: Bundle, folder: Path, target: ExportTarget, *, threshold: float | None = None) -> None:
    in_use = threshold_in_use(made.manifest, None)
    in_use = in_use if threshold is None else replace(in_use, image_threshold=threshold, revision=2)
    for name, data in export_files(made, in_use, sizes=SizeRule.NORMALS, target=target).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def judge(folder: Path, images: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-c", BLOCKED, str(folder / "judge.py"), str(images)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)


def assert_equal_verdicts(made: Bundle, folder: Path, images: Path, threshold: float) -> list[str]:
    """Compare the script's rows with SIAD's findings on the same files; return the verdicts."""
    done = judge(folder, images)
    assert done.returncode == 0, done.stderr
    rows = [row.split("\t") for row in done.stdout.splitlines()]
    predictor = open_bundle(made.manifest, made.parts).at_threshold(threshold)
    files = sorted(images.glob("*.png"))
    assert [name for name, *_ in rows] == [file.name for file in files]
    for file, (_, verdict, told) in zip(files, rows, strict=True):
        (finding,) = predictor.examine([decode_image(file.read_bytes())])
        if isinstance(finding, Misfit):
            assert (verdict, told) == ("unknown", finding.reason.value)
        else:
            assert verdict == ("reject" if finding.is_defect else "pass"), file.name
            assert float(told) == pytest.approx(finding.score, rel=1e-3)
    return [verdict for _, verdict, _ in rows]


@pytest.mark.parametrize("target", ExportTarget)
@pytest.mark.parametrize("make", [grey_teacher, segmenter], ids=["teacher", "segmenter"])
def test_an_export_gives_the_verdicts_of_siad(make: Callable[[], Bundle], target: ExportTarget, tmp_path: Path) -> None:
    made: Bundle = make()
    images: list[Image] = [part_image(seed, defect=seed % 2 == 0) for seed in range(40, 60)]
    images += [part_image(1)[:50], colour(2), deep(3)]  # unlike the normals in size, channels and depth
    write(tmp_path / "images", images)
    scores = [one.score for one in open_bundle(made.manifest, made.parts).predict(images[:20])]
    threshold = float(np.median(scores))
    export(made, tmp_path / "export", target, threshold=threshold)
    verdicts = assert_equal_verdicts(made, tmp_path / "export", tmp_path / "images", threshold)
    assert verdicts[20:] == ["unknown"] * 3
    assert {"pass", "reject"} == set(verdicts[:20])


@pytest.mark.parametrize(
    ("image", "bits", "region"), [(colour, 8, TRIANGLE), (deep, 12, ()), (deep, 12, TRIANGLE)],
    ids=["colour, region", "12 bits", "12 bits, region"],
)  # fmt: skip
def test_an_export_of_colour_depth_and_region_gives_the_verdicts_of_siad(
    image: Callable[..., Image], bits: int, region: tuple[float, ...], tmp_path: Path
) -> None:
    made = teacher([image(seed) for seed in range(6)], region=region, bits=bits)
    images = [image(seed, defect=seed % 2 == 0) for seed in range(40, 52)]
    images += [part_image(1), image(1)[:40]]
    if bits > 8:
        images.append(image(1) + np.uint16(2000))  # over the white of 12 bits
    write(tmp_path / "images", images)
    scores = [one.score for one in open_bundle(made.manifest, made.parts).predict(images[:12])]
    threshold = float(np.median(scores))
    export(made, tmp_path / "export", ExportTarget.ONNX, threshold=threshold)
    verdicts = assert_equal_verdicts(made, tmp_path / "export", tmp_path / "images", threshold)
    assert set(verdicts[12:]) == {"unknown"}


def test_a_runtime_that_misses_the_golden_scores_is_not_used(tmp_path: Path) -> None:
    export(grey_teacher(), tmp_path / "export", ExportTarget.ONNX)
    manifest = json.loads((tmp_path / "export" / "manifest.json").read_text())
    manifest["golden"][0]["score"] += 2e-3 * max(manifest["golden"][0]["score"], manifest["image_threshold"])
    (tmp_path / "export" / "manifest.json").write_text(json.dumps(manifest))
    done = judge(tmp_path / "export", tmp_path)
    assert done.returncode == 1
    assert "golden/0.png scores" in done.stderr
    assert not done.stdout


def test_the_command_writes_the_weights_in_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, plant, folder = grey_teacher(), MemoryPlant(), tmp_path / "new" / "export"
    release(plant.blobs, made)
    plant.blobs.put(keys.line_pointer_key(LINE), write_line(LineState(settings=settings(sizes="any"))))
    monkeypatch.setattr("siad.apps.cli.export.connect", lambda _: plant.connection)
    done = CliRunner().invoke(app, ["export", LINE, "--to", "openvino", "--out", str(folder)])
    assert done.exit_code == 0, done.output
    assert f"teacher {made.manifest.weights[:12]} of line-1/cell" in done.stdout
    write(tmp_path / "images", [part_image(1), part_image(2)[:50]])  # the line accepts every size
    given = judge(folder, tmp_path / "images")
    assert len(given.stdout.splitlines()) == 2, given.stderr
    assert "unknown" not in given.stdout
    (folder / "model.bin").write_bytes((folder / "model.bin").read_bytes()[:-4000])
    assert judge(folder, tmp_path / "images").returncode != 0


def test_weights_that_cannot_be_exported_say_why() -> None:
    made = grey_teacher()
    plain = {name: data for name, data in made.parts.items() if name not in GRAPH_PARTS}
    without = Bundle(replace(made.manifest, parts=describe_parts(plain)), plain)
    large = Bundle(replace(made.manifest, input_px=2048), made.parts)
    for bundle, reason in ((without, "has no graph"), (large, "judges in tiles")):
        with pytest.raises(ExportError, match=reason):
            export_files(bundle, threshold_in_use(made.manifest, None), sizes=SizeRule.ANY, target=ExportTarget.ONNX)
