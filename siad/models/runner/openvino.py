"""OpenVINO runner for bundles with a graph, on the CPU.

``import openvino`` reports itself to its maker through the package ``openvino_telemetry``. Nothing may leave the plant,
so that package is made unimportable first, and OpenVINO uses its own stub.

Shape suffixes: as in ``siad.models.runner.port``.
"""

import io
import json
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from siad.contracts.ids import sha256_hex
from siad.contracts.manifest import Manifest
from siad.models.graph import GRAPH, GRAPH_SETTINGS, GraphSettings, graph_file, has_graph
from siad.models.runner.compiled_files import compiled_files
from siad.models.runner.port import Runner
from siad.models.runner.threads import ThreadBound
from siad.vision.memory_errors import out_of_memory_named

sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # an import of it raises ImportError
import openvino  # noqa: E402

_THREADS = ThreadBound()


class OpenVinoRunner:
    """Runs a graph, one image at a time; implements ``Runner``."""

    device = "cpu"
    has_views = False

    def __init__(
        self, compiled: openvino.CompiledModel, settings: GraphSettings, *, name: str, keeps_buffers: bool = True
    ) -> None:
        self.name, self._keeps_buffers = name, keeps_buffers
        self._compiled = compiled
        self.needs_whole_input = settings.needs_whole_input
        self._request = compiled.create_infer_request()
        self._running = threading.Lock()  # a request has one set of buffers; a second would double the memory

    def run(self, images_BCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        """Score a batch: float32 [B, 1, h, w]; see ``Runner``."""
        count, _, height, width = images_BCHW.shape
        with self._running, out_of_memory_named(f"running a network on {count} inputs of {width}x{height} px"):
            scores_BVhw = np.stack([self._run(image_1CHW) for image_1CHW in np.split(images_BCHW, count)])
            if not self._keeps_buffers:
                self._compiled.release_memory()
            return scores_BVhw

    def _run(self, image_1CHW: NDArray[np.float32]) -> NDArray[np.float32]:
        self._request.infer([image_1CHW], share_inputs=True)
        return np.array(self._request.get_output_tensor(0).data, np.float32)


def limit_threads(count: int) -> None:
    """Bound the CPU threads of runners that are made from now on."""
    _THREADS.count = count


def can_run(manifest: Manifest) -> bool:
    """Whether a bundle has a graph."""
    return has_graph(manifest)


def make_runner(manifest: Manifest, parts: Mapping[str, bytes]) -> Runner:
    """Build the network of a bundle's graph.

    Any exception except those of the port means that its parts don't fit.
    """
    del manifest
    return compile_graph(parts, precision="f32", name="openvino")


def convert_graph(data: bytes) -> tuple[bytes, bytes]:
    """Convert an ONNX file with its weights inside to OpenVINO's own form.

    Returns:
        The XML of operations, and the weights in float32.
    """
    with tempfile.TemporaryDirectory(prefix="siad-graph-") as name:
        folder = Path(name)
        (folder / "graph.onnx").write_bytes(data)
        model = openvino.Core().read_model(folder / "graph.onnx")
        openvino.save_model(model, folder / "model.xml", compress_to_fp16=False)
        return (folder / "model.xml").read_bytes(), (folder / "model.bin").read_bytes()


def compile_graph(
    parts: Mapping[str, bytes], *, precision: Literal["f32", "bf16"], name: str, keeps_buffers: bool = True
) -> Runner:
    """Compile a graph for this machine's CPU.

    One that runs seldom frees its buffers after each run: 40 MB for a teacher.
    """
    options: dict[str, str | int] = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
    if _THREADS.count:
        options["INFERENCE_NUM_THREADS"] = _THREADS.count
    compiled = _kept(parts, options) or _compiled(parts, options)
    return OpenVinoRunner(
        compiled, GraphSettings.from_json(parts[GRAPH_SETTINGS]), name=name, keeps_buffers=keeps_buffers
    )


def _kept(parts: Mapping[str, bytes], options: Mapping[str, str | int]) -> openvino.CompiledModel | None:
    """Read a network that was compiled before; None without one."""
    files = compiled_files()
    if files is None:
        return None
    core, key = openvino.Core(), _key(parts, options)
    data = files.read(key)
    if data is None:
        return None
    try:
        return core.import_model(io.BytesIO(data), "CPU", options)
    except RuntimeError as error:
        files.drop(key, str(error))
        return None


def _compiled(parts: Mapping[str, bytes], options: Mapping[str, str | int]) -> openvino.CompiledModel:
    core = openvino.Core()
    with graph_file(parts) as path:
        compiled = core.compile_model(core.read_model(path), "CPU", options)
    if (files := compiled_files()) is not None:
        files.write(_key(parts, options), compiled.export_model().getvalue())
    return compiled


def _key(parts: Mapping[str, bytes], options: Mapping[str, str | int]) -> str:
    """Name a compiled network by all that it depends on."""
    digests = {name: sha256_hex(data) for name, data in parts.items() if name == GRAPH or name.endswith(".safetensors")}
    cpu = openvino.Core().get_property("CPU", "FULL_DEVICE_NAME")
    facts = [sorted(digests.items()), sorted(options.items()), openvino.__version__, cpu]
    return sha256_hex(json.dumps(facts).encode())
