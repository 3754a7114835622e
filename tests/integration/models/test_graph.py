"""Graphs: what they hold, that they give torch's scores, and that a bad one never serves."""

import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from siad.contracts.fit_settings import FitSettings
from siad.contracts.manifest import Manifest
from siad.models import graph_export, segmenter
from siad.models.backbone import Backbone
from siad.models.bundle import GOLDEN, Bundle, describe_parts, golden_crops, golden_part, open_bundle
from siad.models.graph import GRAPH, GRAPH_PARTS, has_graph
from siad.models.graph_export import add_graph, export_graph
from siad.models.residual import CorrectionSettings, new_residual, parts_of
from siad.models.runner.torch import TorchRunner
from siad.models.segmenter import Segmenter, new_segmenter
from siad.models.teachers.feature_memory import fit, read_memory
from siad.models.teachers.fit import fit_teacher
from tests.synthetic import TINY, normals_of, part_image

RUNNERS = ("openvino", "onnxruntime")
IMAGES = [part_image(50), part_image(51, defect=True)]


@cache
def bundle() -> Bundle:
    """A tiny teacher, in one light, with a graph."""
    plain = fit(normals_of([part_image(seed) for seed in range(8)]), false_reject_budget=0.1, recipe=TINY)
    return add_graph(plain, [part_image(0)])


def test_a_graph_gives_the_maps_and_decisions_of_torch() -> None:
    made = bundle()
    reference = open_bundle(made.manifest, made.parts, runner="torch")
    for name in RUNNERS:
        predictor = open_bundle(made.manifest, made.parts, runner=name)
        assert predictor.runner_name == name
        for given_HW, expected_HW in zip(predictor.maps(IMAGES), reference.maps(IMAGES), strict=True):
            np.testing.assert_allclose(given_HW, expected_HW, atol=1e-3 * expected_HW.max())
        assert [finding.is_defect for finding in predictor.predict(IMAGES)] == [False, True]


def test_bf16_changes_no_verdict_and_no_mask() -> None:
    made = bundle()
    exact, fast = (open_bundle(made.manifest, made.parts, runner=name) for name in ("openvino", "openvino-bf16"))
    assert fast.runner_name == "openvino-bf16"
    images = [*IMAGES, *(part_image(seed, defect=seed % 2 == 0) for seed in range(60, 70))]
    for given, expected in zip(fast.predict(images), exact.predict(images), strict=True):
        assert given.is_defect is expected.is_defect
        np.testing.assert_array_equal(given.mask_HW, expected.mask_HW)


@pytest.mark.parametrize("size", [(64, 128), (96, 64), (160, 160)])
def test_a_graph_takes_inputs_of_any_size(size: tuple[int, int]) -> None:
    made = bundle()
    images_BCHW = np.random.default_rng(0).normal(0, 0.5, (2, 3, *size)).astype(np.float32)
    expected_BVhw = TorchRunner(read_memory(made.parts)).run(images_BCHW)
    for name in RUNNERS:
        given_BVhw = open_bundle(made.manifest, made.parts, runner=name)._runner.run(images_BCHW)
        np.testing.assert_allclose(given_BVhw, expected_BVhw, atol=1e-3 * expected_BVhw.max())


def test_a_graph_where_the_light_differs_gives_the_scores_of_torch() -> None:
    normals = [np.clip(part_image(seed) * (0.3 + 0.2 * seed), 0, 255).astype(np.uint8) for seed in range(6)]
    made = add_graph(fit(normals_of(normals), false_reject_budget=0.1, recipe=TINY), [normals[0]])
    assert dict(made.manifest.metrics)["in_one_light"] == 1.0
    assert has_graph(made.manifest)


def test_a_graph_holds_no_weights_of_its_own() -> None:
    made = bundle()
    assert len(made.parts[GRAPH]) < 400_000
    model = onnx.load_from_string(made.parts[GRAPH])
    for tensor in model.graph.initializer:
        if not tensor.external_data:
            assert len(tensor.raw_data) < 2_000, tensor.name


def test_equal_networks_have_equal_graphs() -> None:
    made = bundle()
    plain = {name: data for name, data in made.parts.items() if name not in GRAPH_PARTS}
    assert export_graph(read_memory(plain), plain) == made.parts[GRAPH]


def test_a_residual_segmenter_has_a_graph_of_its_own() -> None:
    teacher = bundle()
    network = new_residual(read_memory(teacher.parts), CorrectionSettings(threshold=1.0, trust=0.5))
    with torch.no_grad():
        torch.nn.init.normal_(network.decoder.head.weight, std=0.1)
    parts = parts_of(network, teacher.parts)
    assert not set(GRAPH_PARTS) & set(parts)
    parts[GOLDEN] = golden_part(TorchRunner(network), golden_crops(part_image(0)))
    manifest = replace(teacher.manifest, method="residual", parts=describe_parts(parts))
    made = add_graph(Bundle(manifest, parts), [part_image(0)])
    expected = open_bundle(made.manifest, made.parts, runner="torch").maps(IMAGES)
    for name in RUNNERS:
        for given_HW, expected_HW in zip(
            open_bundle(made.manifest, made.parts, runner=name).maps(IMAGES), expected, strict=True
        ):
            np.testing.assert_allclose(given_HW, expected_HW, atol=2e-3 * np.abs(expected_HW).max())


def test_every_fit_of_the_default_teacher_has_a_graph() -> None:
    made = fit_teacher(
        normals_of([part_image(seed) for seed in range(6)]), FitSettings(false_reject_budget=0.1, input_px=64)
    )
    assert has_graph(made.manifest)


def test_a_graph_with_other_scores_does_not_enter_the_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = fit(normals_of([part_image(seed) for seed in range(4)]), false_reject_budget=0.1, recipe=TINY)
    torch.manual_seed(1)
    other = Segmenter(Backbone("lite0")).eval().requires_grad_(requires_grad=False)
    monkeypatch.setattr(graph_export, "export_graph", lambda detector, parts: export_graph(other, {}))
    assert add_graph(plain, [part_image(0)]) == plain


def test_an_export_that_fails_does_not_fail_the_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(detector: object, parts: object) -> bytes:
        raise RuntimeError("no counterpart in ONNX")

    monkeypatch.setattr(graph_export, "export_graph", fail)
    plain = fit(normals_of([part_image(seed) for seed in range(4)]), false_reject_budget=0.1, recipe=TINY)
    assert add_graph(plain, [part_image(0)]) == plain


def test_a_damaged_graph_is_refused_and_torch_serves() -> None:
    made = bundle()
    model = onnx.load_from_string(made.parts[GRAPH])
    for node in model.graph.node:  # another power of the mean over stages
        if node.op_type == "Pow":
            node.op_type = "Mul"
    parts = {**made.parts, GRAPH: model.SerializeToString()}
    manifest: Manifest = replace(made.manifest, parts=describe_parts(parts))
    assert open_bundle(manifest, parts).runner_name == "torch"


def test_a_graph_is_served_without_torch(tmp_path: Path) -> None:
    made = bundle()
    for name, data in {**made.parts, "manifest": made.manifest.to_json()}.items():
        (tmp_path / name).write_bytes(data)
    script = """
import sys
from pathlib import Path
from siad.contracts.manifest import Manifest
from siad.models.bundle import open_bundle
import numpy as np
folder = Path(sys.argv[1])
parts = {path.name: path.read_bytes() for path in folder.iterdir()}
predictor = open_bundle(Manifest.from_json(parts.pop("manifest")), parts)
finding, = predictor.predict([np.zeros((64, 64, 1), np.uint8)])
print(predictor.runner_name, finding.is_defect, sorted({"torch", "ray"} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True, timeout=120
    )
    runner, is_defect, *heavy = done.stdout.split()[-3:]
    assert runner in RUNNERS
    assert (is_defect, heavy) == ("True", ["[]"])


def test_openvino_cannot_report_its_use() -> None:
    script = """
import sys
import siad.models.runner.openvino
import openvino.tools.ovc.telemetry_utils as utils
print(utils.tm.__name__, sys.modules.get("openvino_telemetry.main"))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.split() == ["openvino.tools.ovc.telemetry_stub", "None"]


def test_a_segmenter_has_a_graph_and_stays_in_evaluation() -> None:
    network = new_segmenter()
    with torch.no_grad():
        torch.nn.init.normal_(network.decoder.head.weight)  # a new segmenter scores every image the same
    parts = segmenter.parts_of(network)
    parts[GOLDEN] = golden_part(TorchRunner(network), golden_crops(part_image(0)))
    manifest = replace(bundle().manifest, method=segmenter.METHOD, parts=describe_parts(parts))
    assert has_graph(add_graph(Bundle(manifest, parts), [part_image(0)]).manifest)
    export_graph(network.requires_grad_(requires_grad=False), parts)
    assert not network.training
