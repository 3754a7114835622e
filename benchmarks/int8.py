"""INT8 against float32 and BF16: time, and what its maps still find.

    python -m benchmarks.int8 FOLDER --normals 10  # a folder in MVTec-AD's layout, with ground truth

A default teacher is fitted on the first normals, and its graph quantised by NNCF on the same ones: every convolution,
or all but those by channel, with the rest in float32. Printed for each: milliseconds of CPU on one thread, how far
golden and image scores are off, and the average precision of pixels on some test images.
"""

import argparse
import logging
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import cv2
import numpy as np
import openvino
from numpy.typing import NDArray
from safetensors.numpy import load

from siad.contracts.fit_settings import FitSettings
from siad.contracts.place import Place
from siad.models.bundle import GOLDEN, Bundle
from siad.models.graph import GRAPH_SETTINGS, GraphSettings, graph_file
from siad.models.predictor import Predictor
from siad.models.runner.open import limit_threads
from siad.models.runner.openvino import OpenVinoRunner
from siad.models.teachers.fit import fit_teacher
from siad.models.teachers.normals import Normals
from siad.models.teachers.synthetic_estimate import shrink_map
from siad.vision.images import Image, decode_image
from siad.vision.preprocess import input_size, preprocess
from siad.vision.ranking import average_precision

BY_CHANNEL: Final = "GroupConvolution"
CONVOLUTIONS: Final = ("Convolution", BY_CHANNEL)
RUNS: Final = 9


def main() -> None:
    """Fit, quantise, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--normals", type=int, default=10)
    parser.add_argument("--images", type=int, default=6, help="good ones, and half as many of every kind of defect")
    asked = parser.parse_args()
    limit_threads(1)
    normals = [decode_image(path.read_bytes()) for path in sorted((asked.folder / "train/good").iterdir())]
    normals = normals[: asked.normals]
    teacher = fit_teacher(
        Normals.ordered(normals, [f"{index:032x}" for index in range(len(normals))], Place("benchmark", "part")),
        FitSettings(false_reject_budget=0.1),
    )
    models = quantised(teacher, normals)
    runners = {name: _runner(teacher, model, name) for name, model in models.items()}
    pairs = test_images(asked.folder, asked.images)
    expected = [Predictor(teacher.manifest, runners["f32"]).maps([image_HWC])[0] for image_HWC, _ in pairs]
    for name, runner in runners.items():
        maps = [Predictor(teacher.manifest, runner).maps([image_HWC])[0] for image_HWC, _ in pairs]
        off = max(abs(float(one.max() - other.max())) for one, other in zip(maps, expected, strict=True))
        print(
            f"{name:<24} {_milliseconds(runner, teacher):6.1f} ms  {_golden(runner, teacher)}  scores off by {off:.3f}"
            f"  pixel AP {_pixel_ap(maps, [mask_HW for _, mask_HW in pairs]):.4f}"
        )


def quantised(teacher: Bundle, normals: Sequence[Image]) -> dict[str, tuple[openvino.Model, str]]:
    """Make the networks, each with the precision of the rest."""
    nncf = _import_nncf()
    with graph_file(teacher.parts) as path:
        model = openvino.Core().read_model(path)
    inputs = [preprocess(image_HWC, input_px=teacher.manifest.input_px)[None] for image_HWC in normals]
    kinds = sorted(
        {node.get_type_name() for node in model.get_ops()} - {*CONVOLUTIONS, "Constant", "Parameter", "Result"}
    )
    made = {"f32": (model, "f32"), "bf16": (model, "bf16")}
    for name, left in (("every convolution", kinds), ("all but by channel", [*kinds, BY_CHANNEL])):
        int8 = nncf.quantize(
            model,
            nncf.Dataset(inputs),
            subset_size=len(inputs),
            preset=nncf.QuantizationPreset.MIXED,
            ignored_scope=nncf.IgnoredScope(types=left, validate=False),
            fast_bias_correction=False,
        )
        made |= {f"int8, {name}": (int8, "f32")}
    return made


def test_images(folder: Path, count: int) -> list[tuple[Image, NDArray[np.bool_]]]:
    """Read test images with the masks of their defects."""
    found = []
    for kind in sorted((folder / "test").iterdir()):
        for path in sorted(kind.iterdir())[: count if kind.name == "good" else count // 2]:
            image_HWC = decode_image(path.read_bytes())
            truth = folder / "ground_truth" / kind.name / f"{path.stem}_mask.png"
            mask_HW = np.zeros(image_HWC.shape[:2], np.uint8)
            if truth.exists():
                mask_HW = np.asarray(cv2.imread(str(truth), cv2.IMREAD_GRAYSCALE), np.uint8)
            found.append((image_HWC, shrink_map(mask_HW.astype(np.float32)) >= 127.5))
    return found


def _import_nncf() -> Any:
    """Import NNCF, whose reports of use are replaced by nothing."""

    class Silent:
        def __init__(self, *_: Any, **__: Any) -> None:
            pass

        def __getattr__(self, _: str) -> Any:
            return lambda *_, **__: None

    silent = ModuleType("openvino_telemetry")
    silent.Telemetry = Silent  # type: ignore[attr-defined]
    sys.modules["openvino_telemetry"] = silent
    import nncf

    nncf.set_log_level(logging.ERROR)
    return nncf


def _runner(teacher: Bundle, model: tuple[openvino.Model, str], name: str) -> OpenVinoRunner:
    options = {"INFERENCE_PRECISION_HINT": model[1], "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": 1}
    compiled = openvino.Core().compile_model(model[0], "CPU", options)
    return OpenVinoRunner(compiled, GraphSettings.from_json(teacher.parts[GRAPH_SETTINGS]), name=name)


def _milliseconds(runner: OpenVinoRunner, teacher: Bundle) -> float:
    height, width = input_size(1, 1, input_px=teacher.manifest.input_px)
    noise_BCHW = np.random.default_rng(0).normal(0, 0.5, (1, 3, height, width)).astype(np.float32)
    seconds = []
    for _ in range(RUNS):
        began_s = time.process_time()
        runner.run(noise_BCHW)
        seconds.append(time.process_time() - began_s)
    return 1000 * float(np.median(seconds[2:]))


def _golden(runner: OpenVinoRunner, teacher: Bundle) -> str:
    golden: Mapping[str, NDArray[Any]] = load(teacher.parts[GOLDEN])
    crops = [preprocess(np.ascontiguousarray(crop_HWC), input_px=len(crop_HWC)) for crop_HWC in golden["crops"]]
    given_Ghw, expected_Ghw = runner.run(np.stack(crops)).mean(1), golden["maps"]
    largest = float(np.abs(expected_Ghw).max())
    peak = float(np.abs(given_Ghw.max((1, 2)) - expected_Ghw.max((1, 2))).max()) / largest
    mean = float(np.abs(given_Ghw - expected_Ghw).mean((1, 2)).max()) / largest
    return f"golden peak off by {peak:.1%}, mean {mean:.1%}"


def _pixel_ap(maps: Sequence[NDArray[np.float32]], masks: Sequence[NDArray[np.bool_]]) -> float:
    scores = np.concatenate([shrink_map(map_HW).ravel() for map_HW in maps])
    return average_precision(np.concatenate([mask_HW.ravel() for mask_HW in masks]), scores)


if __name__ == "__main__":
    main()
