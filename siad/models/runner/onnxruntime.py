"""ONNX Runtime runner for bundles with a graph.

Shape suffixes: as in ``siad.models.runner.port``.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from siad.contracts.manifest import Manifest
from siad.models.graph import GRAPH_SETTINGS, INPUT, GraphSettings, graph_file, has_graph
from siad.models.runner.port import Runner
from siad.models.runner.threads import ThreadBound
from siad.vision.memory_errors import out_of_memory_named

_THREADS = ThreadBound()


class OnnxRuntimeRunner:
    """Runs a graph, one image at a time; implements ``Runner``."""

    name = "onnxruntime"
    device = "cpu"
    has_views = False

    def __init__(self, session: onnxruntime.InferenceSession, settings: GraphSettings) -> None:
        self._session = session
        self.needs_whole_input = settings.needs_whole_input

    def run(self, images_BCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        """Score a batch: float32 [B, 1, h, w]; see ``Runner``."""
        count, _, height, width = images_BCHW.shape
        with out_of_memory_named(f"running a network on {count} inputs of {width}x{height} px"), _plain_errors():
            maps = [self._session.run(None, {INPUT: image_1CHW})[0] for image_1CHW in np.split(images_BCHW, count)]
        return np.stack(maps)


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Raise the library's own exceptions as RuntimeError.

    They derive from Exception alone, and exhausted memory is recognised in a RuntimeError.
    """
    try:
        yield
    except Exception as error:
        if type(error).__module__.startswith("onnxruntime"):
            raise RuntimeError(str(error)) from error
        raise


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
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors: it warns of every constant that it folds
    options.inter_op_num_threads = 1
    if _THREADS.count:
        options.intra_op_num_threads = _THREADS.count
    with graph_file(parts) as path, _plain_errors():
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return OnnxRuntimeRunner(session, GraphSettings.from_json(parts[GRAPH_SETTINGS]))
