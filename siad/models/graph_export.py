"""Export of a fitted network as a graph, compared with torch.

A detector whose ``graph_score`` can be traced has a graph; any other serves by torch. Nothing here fails a fit: where
the export or its check fails, the bundle stays as it was, and the log says why.

Shape suffixes: C = channels, H, W = size of the input, h, w = size of a map.
"""

import json
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import structlog
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from siad.contracts.manifest import Manifest
from siad.models.bundle import Bundle, describe_parts
from siad.models.detector import Detector, ExportableDetector, WholeInputDetector
from siad.models.graph import GRAPH, GRAPH_PARTS, GRAPH_SETTINGS, INPUT, OUTPUT, GraphSettings
from siad.models.method_modules import import_method
from siad.models.runner import onnxruntime
from siad.models.runner.port import Runner
from siad.models.runner.torch import TorchRunner
from siad.models.tiling import is_tiled
from siad.vision.images import Image
from siad.vision.preprocess import input_size, preprocess

log = structlog.get_logger()

OpenGraph = Callable[[Manifest, Mapping[str, bytes]], Runner]

OPSET: Final = 18
TOLERANCE: Final = 1e-3  # of a map's largest score; runners differ by some 1e-5
TIES_MAX: Final = 0.01  # share of positions that may differ more: two neighbours equally near, of which either is taken
_TRACED_HW: Final = (128, 192)  # of the example: no side equals another, so no axis is taken for another
_SHARED_MIN_BYTES: Final = 1024  # smaller constants stay in the graph
_ONNX_TYPES: Final[Mapping[str, int]] = {"F32": onnx.TensorProto.FLOAT, "F16": onnx.TensorProto.FLOAT16}


class GraphError(Exception):
    """A network that has no graph, or whose graph gives other scores."""


def add_graph(bundle: Bundle, images: Sequence[Image], open_graph: OpenGraph = onnxruntime.make_runner) -> Bundle:
    """Add the graph of a bundle's network to it.

    Args:
        bundle: complete; it has no graph yet.
        images: some good ones to check the graph on, of the full range, cut to the region of interest.
        open_graph: builds the runner that is compared with torch.

    Returns:
        The bundle with a graph, or unchanged where there is none; the log says why.
    """
    manifest = bundle.manifest
    fields = {"line": manifest.line, "product": manifest.product, "method": manifest.method}
    try:
        parts = _exported(bundle, images, open_graph)
    except GraphError as error:
        log.info("graph_not_made", reason=str(error), **fields)
        return bundle
    except Exception as error:  # noqa: BLE001 - torch serves these weights as well; an export never fails a fit
        log.warning("graph_not_made", reason=f"{type(error).__name__}: {error}"[:500], **fields)
        return bundle
    manifest = replace(manifest, parts=describe_parts(parts))
    log.info("graph_made", graph_kb=len(parts[GRAPH]) // 1024, **fields)
    return Bundle(manifest, parts)


def export_graph(detector: ExportableDetector, parts: Mapping[str, bytes]) -> bytes:
    """Trace a network, and write it as a graph.

    Args:
        detector: in evaluation mode, on the CPU; its parameters need no gradients.
        parts: files of the bundle; constants that are tensors of a safetensors file are referred to.

    Raises:
        Exception: of torch, where an operation has no counterpart in ONNX.
    """
    example_BCHW = torch.rand(1, 3, *_TRACED_HW) - 0.5
    with tempfile.TemporaryDirectory(prefix="siad-graph-") as folder, torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer warns of every size that it follows, and of its own age
        path = Path(folder) / GRAPH
        torch.onnx.export(
            _TracedModule(detector).eval(),  # else the exporter leaves the detector in training
            (example_BCHW,),
            path,
            dynamo=False,  # the newer exporter needs another package, and fixes sizes in its graphs more often
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_axes={INPUT: {2: "H", 3: "W"}, OUTPUT: {1: "h", 2: "w"}},
            do_constant_folding=False,  # constants stay as they are stored; runners fold them
        )
        model = onnx.load(path)
    _refer_to(model, _stored_tensors(parts))
    data: bytes = model.SerializeToString(deterministic=True)
    return data


class _TracedModule(nn.Module):
    """A detector as the module that the tracer wants.

    Stored tensors are its buffers: what is computed of them is recorded, while constants would be computed at once.
    """

    def __init__(self, detector: ExportableDetector) -> None:
        super().__init__()
        self._detector = detector
        self._buffer_of = {name: f"stored_{index}" for index, name in enumerate(sorted(detector.stored))}
        for name, tensor in detector.stored.items():
            self.register_buffer(self._buffer_of[name], tensor)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Score: float32 [1, h, w]."""
        stored = {name: self.get_buffer(buffer) for name, buffer in self._buffer_of.items()}
        return self._detector.graph_score(images_BCHW, stored)


def _exported(bundle: Bundle, images: Sequence[Image], open_graph: OpenGraph) -> dict[str, bytes]:
    manifest = bundle.manifest
    inputs = _inputs(manifest, images)
    detector: Detector = import_method(manifest.method).load(manifest, bundle.parts)
    if not isinstance(detector, ExportableDetector):
        msg = f"method {manifest.method} has no graph; torch serves it"
        raise GraphError(msg)
    needs_whole_input = isinstance(detector, WholeInputDetector)
    if needs_whole_input and any(is_tiled(*input_CHW.shape[1:]) for input_CHW in inputs):
        msg = (
            f"inputs of {manifest.input_px} px need the backbone in tiles, which a graph does not do; torch serves them"
        )
        raise GraphError(msg)
    own = {name: data for name, data in bundle.parts.items() if name not in GRAPH_PARTS}
    parts = {
        **own,
        GRAPH: export_graph(detector, own),
        GRAPH_SETTINGS: GraphSettings(needs_whole_input=needs_whole_input).to_json(),
    }
    _check(open_graph(replace(manifest, parts=describe_parts(parts)), parts), TorchRunner(detector), inputs)
    return parts


def _inputs(manifest: Manifest, images: Sequence[Image]) -> list[NDArray[np.float32]]:
    """Make inputs of the images, and noise of another shape."""
    own = [preprocess(image_HWC, input_px=manifest.input_px) for image_HWC in images]
    height, width = input_size(2, 3, input_px=manifest.input_px // 2)
    noise_CHW = np.random.default_rng(0).normal(0, 0.5, (3, height, width)).astype(np.float32)
    return [*own, noise_CHW]


def _check(runner: Runner, expected: Runner, inputs: Sequence[NDArray[np.float32]]) -> None:
    """Compare a graph's maps with torch's.

    Raises:
        GraphError: they differ by more than the tolerance.
    """
    for input_CHW in inputs:
        given_hw, expected_hw = (one.run(input_CHW[None])[0, 0] for one in (runner, expected))
        size = f"an input of {input_CHW.shape[2]}x{input_CHW.shape[1]} px"
        if given_hw.shape != expected_hw.shape:
            msg = f"for {size} the graph gives a map of {list(given_hw.shape)}, torch one of {list(expected_hw.shape)}"
            raise GraphError(msg)
        allowed = TOLERANCE * float(np.abs(expected_hw).max())
        differ = float(np.mean(~(np.abs(given_hw - expected_hw) <= allowed)))  # so that NaN differs
        peaks = abs(float(given_hw.max()) - float(expected_hw.max()))
        if differ > TIES_MAX or not peaks <= allowed:
            msg = (
                f"for {size} {differ:.1%} of the graph's scores differ from torch's by more than {allowed:.3g}, the"
                f" highest by {peaks:.3g}; torch serves these weights"
            )
            raise GraphError(msg)


@dataclass(frozen=True, slots=True)
class _StoredTensor:
    """Where a tensor's bytes are in a bundle."""

    part: str
    offset: int
    length: int


def _stored_tensors(parts: Mapping[str, bytes]) -> dict[tuple[int, bytes], _StoredTensor]:
    """Find tensors by ONNX type and bytes.

    A safetensors file is the length of its header, 8 bytes little-endian, the header in JSON, and the tensors.
    """
    found: dict[tuple[int, bytes], _StoredTensor] = {}
    for name, data in sorted(parts.items()):
        if not name.endswith(".safetensors"):
            continue
        begin = 8 + int.from_bytes(data[:8], "little")
        for key, facts in json.loads(data[8:begin]).items():
            if key == "__metadata__" or facts["dtype"] not in _ONNX_TYPES:
                continue
            start, end = facts["data_offsets"]
            at = _StoredTensor(name, begin + start, end - start)
            found.setdefault((_ONNX_TYPES[facts["dtype"]], data[begin + start : begin + end]), at)
    return found


def _refer_to(model: Any, stored: Mapping[tuple[int, bytes], _StoredTensor]) -> None:
    """Turn large constants into initialisers, and those that are stored into references."""
    graph = model.graph
    tensors = [(one.name, one) for one in graph.initializer]
    nodes = []
    for node in graph.node:
        node.doc_string = ""  # where in the source an operation was traced
        node.ClearField("metadata_props")
        if node.op_type == "Constant" and len(node.attribute[0].t.raw_data) >= _SHARED_MIN_BYTES:
            tensors.append((node.output[0], node.attribute[0].t))
        else:
            nodes.append(node)
    initialisers = []
    for name, tensor in tensors:
        one = onnx.TensorProto()
        one.CopyFrom(tensor)
        one.name = name
        at = stored.get((one.data_type, one.raw_data)) if len(one.raw_data) >= _SHARED_MIN_BYTES else None
        if at is not None:
            one.ClearField("raw_data")
            one.data_location = onnx.TensorProto.EXTERNAL
            for key, value in (("location", at.part), ("offset", at.offset), ("length", at.length)):
                one.external_data.add(key=key, value=str(value))
        initialisers.append(one)
    initialisers.sort(key=lambda one: one.name)  # the exporter has them in no fixed order
    for field, kept in ((graph.node, nodes), (graph.initializer, initialisers)):
        copies = [type(one)() for one in kept]
        for copied, one in zip(copies, kept, strict=True):
            copied.CopyFrom(one)
        del field[:]
        field.extend(copies)
