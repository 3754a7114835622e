"""Speed of the runners, and of the whole predictor, on one thread.

    python -m benchmarks.inference FOLDER --normals 10  # a folder in MVTec-AD's layout

A default teacher is fitted on the first normals; a segmenter of 256 px has random weights, which take as long as
trained ones. Runners take turns, so that other work on the machine slows all of them alike; figures are medians, and
ratios to torch are of the same run. The whole predictor takes an image from its file's bytes to its finding: by torch
with every map refined along edges, as before graphs, and as it serves. The last line is a process that serves one
teacher without torch: seconds from its start to its first finding, and its memory. Times are of the process's CPU,
which other processes lengthen less than they lengthen the clock's.

The comparison of verdicts takes all test images: how many the BF16 runner judges otherwise than float32, and how many
it scores twice.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from siad.contracts.errors import UnusableWeightsError
from siad.contracts.events import WeightsKind
from siad.contracts.fit_settings import FitSettings
from siad.contracts.place import Place
from siad.models import segmenter
from siad.models.bundle import GOLDEN, Bundle, describe_parts, golden_crops, golden_part, open_bundle
from siad.models.graph_export import add_graph
from siad.models.predictor import Predictor
from siad.models.runner.open import AUTO, EXACT, RUNNERS, limit_threads
from siad.models.runner.screening import ScreeningRunner
from siad.models.runner.torch import TorchRunner
from siad.models.teachers.fit import fit_teacher
from siad.models.teachers.normals import Normals
from siad.vision.decide import Finding
from siad.vision.images import Image, decode_image
from siad.vision.preprocess import input_size

SEGMENTER_PX = 256
CHILD = """
import sys, time
began_s = time.perf_counter()
import services.inference.app
from pathlib import Path
from siad.contracts.manifest import Manifest
from siad.models.bundle import open_bundle
from siad.models.runner.open import limit_threads
from siad.vision.images import decode_image
limit_threads(1)
folder = Path(sys.argv[1])
parts = {path.name: path.read_bytes() for path in folder.iterdir()}
predictor = open_bundle(Manifest.from_json(parts.pop("manifest")), parts, runner="auto")
predictor.predict([decode_image(Path(sys.argv[2]).read_bytes())])
status = Path("/proc/self/status").read_text()
memory = int(status.split("VmRSS:")[1].split()[0]) / 1024
heavy = sorted({"torch", "ray"} & set(sys.modules)) or "neither torch nor ray"
print(f"{predictor.runner_name}: {time.perf_counter() - began_s:.1f} s, {memory:.0f} MB, imported {heavy}")
"""


def main() -> None:
    """Fit, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--normals", type=int, default=10)
    parser.add_argument("--runs", type=int, default=15)
    asked = parser.parse_args()
    limit_threads(1)
    torch.set_num_threads(1)
    normals = [decode_image(path.read_bytes()) for path in _files(asked.folder / "train/good")[: asked.normals]]
    teacher = fit_teacher(
        Normals.ordered(normals, [f"{index:032x}" for index in range(len(normals))], Place("benchmark", "part")),
        FitSettings(false_reject_budget=0.1),
    )
    for name, bundle in (("segmenter", random_segmenter(teacher, normals[0])), ("teacher", teacher)):
        print_runners(name, bundle, runs=asked.runs)
    good = _files(asked.folder / "test/good")[:5]
    defective = [path for path in _files(asked.folder / "test") if path.parent.name != "good"][:5]
    for name, paths in (("good", good), ("defective", defective)):
        print_predictors(name, teacher, [path.read_bytes() for path in paths], runs=asked.runs)
    print_parity(teacher, _files(asked.folder / "test"))
    print_process(teacher, good[0])


def random_segmenter(teacher: Bundle, normal: Image) -> Bundle:
    """Make a segmenter with random weights and a graph."""
    network = segmenter.new_segmenter()
    with torch.no_grad():
        torch.nn.init.normal_(network.decoder.head.weight)
    parts = segmenter.parts_of(network)
    parts[GOLDEN] = golden_part(TorchRunner(network), golden_crops(normal))
    manifest = replace(
        teacher.manifest,
        kind=WeightsKind.SEGMENTER,
        method=segmenter.METHOD,
        input_px=SEGMENTER_PX,
        parts=describe_parts(parts),
    )
    return add_graph(Bundle(manifest, parts), [normal])


def print_runners(name: str, bundle: Bundle, *, runs: int) -> None:
    """Measure the network alone, by every runner."""
    height, width = input_size(1, 1, input_px=bundle.manifest.input_px)
    images_BCHW = np.random.default_rng(0).normal(0, 0.5, (1, 3, height, width)).astype(np.float32)
    runners = {}
    for one in RUNNERS:
        try:
            runners[one] = open_bundle(bundle.manifest, bundle.parts, runner=one)._runner  # noqa: SLF001
        except UnusableWeightsError as error:
            print(f"{name}: {error}")
    _print(
        f"{name}, network at {width}x{height} px",
        {one: lambda runner=runner: runner.run(images_BCHW) for one, runner in runners.items()},  # type: ignore[misc]
        runs,
        against="torch",
    )


def print_predictors(name: str, teacher: Bundle, files: Sequence[bytes], *, runs: int) -> None:
    """Measure from bytes to finding, as before and as it serves."""
    before = open_bundle(teacher.manifest, teacher.parts, runner="torch")
    exact, now = (open_bundle(teacher.manifest, teacher.parts, runner=name) for name in (EXACT, AUTO))
    _print(
        f"{name} images, whole predictor",
        {
            "before": lambda: [_refined(before, decode_image(data)) for data in files],
            f"exact ({exact.runner_name})": lambda: [exact.predict([decode_image(data)]) for data in files],
            f"now ({now.runner_name})": lambda: [now.predict([decode_image(data)]) for data in files],
        },
        runs,
        against="before",
        each=len(files),
    )
    for data in files:
        image_HWC = decode_image(data)
        [expected], [given] = [_refined(before, image_HWC)], now.predict([image_HWC])
        if expected.is_defect is not given.is_defect or not np.array_equal(expected.mask_HW, given.mask_HW):
            pixels = int(np.count_nonzero(expected.mask_HW != given.mask_HW))
            print(f"  differs: {expected.score:.5f} and {given.score:.5f}, {pixels} pixels of the mask")


def print_parity(teacher: Bundle, paths: Sequence[Path]) -> None:
    """Compare the BF16 runner with float32, image by image."""
    exact, fast = (open_bundle(teacher.manifest, teacher.parts, runner=name) for name in ("openvino", "openvino-bf16"))
    screening = fast._runner  # noqa: SLF001
    assert isinstance(screening, ScreeningRunner)
    alone = Predictor(teacher.manifest, screening.screen)
    errors, verdicts, masks, twice = [], 0, 0, 0
    for path in paths:
        image_HWC = decode_image(path.read_bytes())
        [expected], [given], [screened] = (one.predict([image_HWC]) for one in (exact, fast, alone))
        errors.append(abs(screened.score - expected.score))
        verdicts += given.is_defect is not expected.is_defect
        masks += not np.array_equal(given.mask_HW, expected.mask_HW)
        twice += screened.score >= teacher.manifest.image_threshold - screening.doubt
    print(
        f"openvino-bf16 on {len(paths)} images: {verdicts} verdicts and {masks} masks differ, {twice} scored twice;"
        f" BF16 alone is off by {max(errors):.3f} at most, {screening.doubt:.3f} are doubted"
    )


def print_process(teacher: Bundle, image: Path) -> None:
    """Start a process that serves one teacher, and print what it took."""
    with tempfile.TemporaryDirectory() as folder:
        for name, data in {**teacher.parts, "manifest": teacher.manifest.to_json()}.items():
            (Path(folder) / name).write_bytes(data)
        done = subprocess.run(
            [sys.executable, "-c", CHILD, folder, str(image)], capture_output=True, text=True, check=True
        )
    print(f"process with one teacher, {done.stdout.strip().splitlines()[-1]}")


def _refined(predictor: Predictor, image_HWC: Image) -> Finding:
    [map_HW] = predictor.maps([image_HWC])
    return predictor.decide(map_HW)


def _print(title: str, works: Mapping[str, Callable[[], object]], runs: int, *, against: str, each: int = 1) -> None:
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(runs + 2):
        for name, work in works.items():
            began_s = time.process_time()
            work()
            seconds[name].append((time.process_time() - began_s) / each)
    medians = {name: statistics.median(values[2:]) for name, values in seconds.items()}  # without two to warm up
    print(title)
    for name, value in medians.items():
        print(f"  {name:<22} {1000 * value:7.1f} ms {medians[against] / value:6.2f} times")


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    main()
