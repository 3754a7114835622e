"""Promises of every runner; a further adapter adds a case to ``RUNNERS`` and to ``EXHAUSTED``."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn
from torch.nn import functional

from siad.contracts.errors import OutOfMemoryError, TransientError
from siad.models.backbone import Backbone
from siad.models.bundle import GOLDEN, golden_part
from siad.models.graph import GRAPH, GRAPH_SETTINGS, INPUT, OUTPUT, GraphSettings
from siad.models.graph_export import OPSET, export_graph
from siad.models.runner import compiled_files, onnxruntime, openvino, openvino_bf16
from siad.models.runner.compiled_files import CompiledFiles
from siad.models.runner.port import DeviceError, Runner
from siad.models.runner.screening import ScreeningRunner
from siad.models.runner.torch import TorchRunner
from siad.models.segmenter import Segmenter, parts_of
from tests.manifests import make_manifest


class TwoViews:
    """A detector with two maps of an image."""

    needs_whole_input = True

    def views(self, images_BCHW: Tensor) -> Tensor:
        bright_Bhw = functional.avg_pool2d(images_BCHW.mean(1, keepdim=True), 8)[:, 0]
        return torch.stack((bright_Bhw, 0.5 * bright_Bhw))

    def score(self, images_BCHW: Tensor) -> Tensor:
        return self.views(images_BCHW).mean(0)


class TooLarge:
    """A detector that needs more memory than any machine has."""

    def score(self, images_BCHW: Tensor) -> Tensor:
        return torch.empty(10**15)


def torch_segmenter() -> Runner:
    torch.manual_seed(0)
    segmenter = Segmenter(Backbone("lite0")).eval()
    nn.init.normal_(segmenter.decoder.head.weight)  # a new segmenter scores every image the same
    return TorchRunner(segmenter)


def torch_two_views() -> Runner:
    return TorchRunner(TwoViews())


MANIFEST = make_manifest()
SETTINGS = GraphSettings(needs_whole_input=False).to_json()


def too_large_parts() -> dict[str, bytes]:
    """A graph that needs more memory than any machine has: a value for every 1e-10th of a pixel."""
    sides = helper.make_tensor("sides", TensorProto.INT64, [4], [1, 1, 10**5, 10**5])
    nodes = [
        helper.make_node("Shape", [INPUT], ["small"]),
        helper.make_node("Mul", ["small", "sides"], ["large"]),
        helper.make_node("ConstantOfShape", ["large"], ["values"]),
        helper.make_node("ReduceMax", ["values", "axis"], [OUTPUT], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "too large",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [1, 3, "H", "W"])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [1, "h", "w"])],
        [sides, helper.make_tensor("axis", TensorProto.INT64, [1], [1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    return {GRAPH: model.SerializeToString(), GRAPH_SETTINGS: SETTINGS}


class ExhaustedModel:
    """A model and its request, which end as OpenVINO ended a run of the graph above.

    The graph itself is no test of it: in one run of many it raised nothing.
    """

    def create_infer_request(self) -> Any:
        return self

    def infer(self, inputs: object, *, share_inputs: bool) -> None:
        raise RuntimeError(
            "Check 'ptr' failed at cpu_memory.cpp:257:\nFailed to allocate 737280000000000 bytes of memory"
        )


@cache
def segmenter_parts() -> dict[str, bytes]:
    torch.manual_seed(0)
    segmenter = Segmenter(Backbone("lite0")).eval().requires_grad_(requires_grad=False)
    nn.init.normal_(segmenter.decoder.head.weight)
    crops = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    own = {**parts_of(segmenter), GOLDEN: golden_part(TorchRunner(segmenter), list(crops))}
    return {**own, GRAPH: export_graph(segmenter, own), GRAPH_SETTINGS: SETTINGS}


RUNNERS: dict[str, Callable[[], Runner]] = {
    "torch": torch_segmenter,
    "torch, two views": torch_two_views,
    "onnxruntime": lambda: onnxruntime.make_runner(MANIFEST, segmenter_parts()),
    "openvino": lambda: openvino.make_runner(MANIFEST, segmenter_parts()),
    "openvino-bf16": lambda: openvino_bf16.make_runner(MANIFEST, segmenter_parts()),
}


def openvino_without_memory() -> Runner:
    model: Any = ExhaustedModel()
    return openvino.OpenVinoRunner(model, GraphSettings(needs_whole_input=False), name="openvino")


def screening_without_memory() -> Runner:
    exhausted = openvino_without_memory()
    return ScreeningRunner(name="openvino-bf16", screen=exhausted, exact=exhausted, doubt=0.1)


EXHAUSTED: dict[str, Callable[[], Runner]] = {
    "torch": lambda: TorchRunner(TooLarge()),
    "onnxruntime": lambda: onnxruntime.make_runner(MANIFEST, too_large_parts()),
    "openvino": openvino_without_memory,
    "openvino-bf16": screening_without_memory,
}


@pytest.fixture(params=list(RUNNERS))
def runner(request: pytest.FixtureRequest) -> Runner:
    return RUNNERS[request.param]()


def noise(count: int = 3, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.5, (count, 3, 64, 96)).astype(np.float32)


def test_scores_have_one_map_for_each_image_and_view(runner: Runner) -> None:
    scores_BVhw = runner.run(noise())
    assert scores_BVhw.dtype == np.float32
    assert scores_BVhw.shape[:2] == (3, 2 if runner.has_views else 1)
    assert 64 % scores_BVhw.shape[2] == 96 % scores_BVhw.shape[3] == 0
    assert np.isfinite(scores_BVhw).all()


def test_scores_do_not_depend_on_the_rest_of_the_batch(runner: Runner) -> None:
    images_BCHW = noise()
    together_BVhw = runner.run(images_BCHW)
    for index in range(len(images_BCHW)):
        np.testing.assert_allclose(runner.run(images_BCHW[index : index + 1])[0], together_BVhw[index], atol=1e-4)


def test_different_images_get_different_scores(runner: Runner) -> None:
    first_Vhw, second_Vhw, _ = runner.run(noise())
    assert not np.allclose(first_Vhw, second_Vhw)


def test_inputs_are_not_changed(runner: Runner) -> None:
    images_BCHW = noise()
    runner.run(images_BCHW)
    np.testing.assert_array_equal(images_BCHW, noise())


def test_results_are_not_changed_by_a_later_run(runner: Runner) -> None:
    first_BVhw = runner.run(noise())
    kept_BVhw = first_BVhw.copy()
    runner.run(noise(seed=1))
    np.testing.assert_array_equal(first_BVhw, kept_BVhw)


def test_threads_may_share_a_runner(runner: Runner) -> None:
    expected = [runner.run(noise(seed=seed)) for seed in range(4)]
    with ThreadPoolExecutor(4) as threads:
        given = list(threads.map(lambda seed: runner.run(noise(seed=seed)), range(4)))
    for scores_BVhw, expected_BVhw in zip(given, expected, strict=True):
        np.testing.assert_allclose(scores_BVhw, expected_BVhw, atol=1e-4)


def test_a_runner_names_its_device(runner: Runner) -> None:
    assert runner.device == "cpu"


@pytest.mark.parametrize("name", list(EXHAUSTED))
def test_memory_that_runs_out_is_transient(name: str) -> None:
    with pytest.raises(OutOfMemoryError, match="3 inputs of 96x64 px") as caught:
        EXHAUSTED[name]().run(noise())
    assert isinstance(caught.value, TransientError)


# What only the torch runner can show.


class Faulty:
    """A detector whose run raises."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def score(self, images_BCHW: Tensor) -> Tensor:
        raise self._error


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("Tried to allocate 20.00 MiB"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        MemoryError(),
    ],
)
def test_every_way_in_which_torch_reports_exhausted_memory_is_known(error: Exception) -> None:
    with pytest.raises(OutOfMemoryError):
        TorchRunner(Faulty(error)).run(noise())


def test_a_device_that_fails_is_no_fault_of_the_weights() -> None:
    failure = torch.AcceleratorError("CUDA error: unspecified launch failure")
    with pytest.raises(DeviceError, match="only a new process"):
        TorchRunner(Faulty(failure)).run(noise())


def test_a_mistake_of_the_network_stays_a_bug() -> None:
    with pytest.raises(RuntimeError, match="do not match"):
        TorchRunner(Faulty(RuntimeError("shapes do not match"))).run(noise())


def test_a_detector_runs_in_inference_mode() -> None:
    modes = []

    class Recording(TwoViews):
        def views(self, images_BCHW: Tensor) -> Tensor:
            modes.append(torch.is_inference_mode_enabled())
            return super().views(images_BCHW)

    TorchRunner(Recording()).run(noise())
    assert modes == [True]


def test_what_a_detector_can_do_is_passed_on() -> None:
    segmenter, two_views = torch_segmenter(), torch_two_views()
    assert (segmenter.has_views, two_views.has_views) == (False, True)
    assert (segmenter.needs_whole_input, two_views.needs_whole_input) == (False, True)


# What only OpenVINO can show.


def test_a_kept_network_gives_the_same_scores_and_is_not_compiled_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(compiled_files, "_STATE", compiled_files._ProcessState(CompiledFiles(tmp_path)))
    expected = openvino.make_runner(MANIFEST, segmenter_parts()).run(noise())
    assert len(list(tmp_path.iterdir())) == 1
    with monkeypatch.context() as patch:
        patch.setattr(openvino, "_compiled", None)  # a call of it raises
        np.testing.assert_array_equal(openvino.make_runner(MANIFEST, segmenter_parts()).run(noise()), expected)


def test_a_kept_network_that_the_library_refuses_is_compiled_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    files = CompiledFiles(tmp_path)
    monkeypatch.setattr(compiled_files, "_STATE", compiled_files._ProcessState(files))
    expected = openvino.make_runner(MANIFEST, segmenter_parts()).run(noise())
    [path] = tmp_path.iterdir()
    files.write(path.stem, b"of another version")
    np.testing.assert_array_equal(openvino.make_runner(MANIFEST, segmenter_parts()).run(noise()), expected)
    assert files.read(path.stem) != b"of another version"
