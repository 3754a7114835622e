"""Many lines in one process: hit rate, waiting time and memory.

    python -m benchmarks.lines FOLDER --lines 200 --room 20 --images 400 --per-s 1.5  # MVTec-AD's layout; six minutes

A default teacher is fitted on ten normals of the folder and released for every line: other weights to the process, of
equal size. Images of the lines come at random times at a steady mean rate; line n has a share of 1/n (Zipf). Each is
judged as in the stage: weights prepared, loaded from the local disk where they are not in memory, one thread that loads
and one that scores. Printed: hits of all images, seconds from arrival to finding (of hits, of misses, of all), and the
peak of resident memory, less that of the process with one line.
"""

import argparse
import asyncio
import random
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from services.inference.adapters.limits import ServingLimits, ServingThreads
from services.inference.adapters.load import BundleLoader
from services.inference.adapters.predictors import HotSwapPredictors
from services.inference.adapters.weights_cache import WeightsCache
from services.inference.domain.releases import ReleasePointer
from siad.contracts.corrections import ThresholdSet
from siad.contracts.fit_settings import FitSettings
from siad.contracts.ids import WeightsId
from siad.contracts.manifest import Manifest
from siad.contracts.place import Place
from siad.models.bundle import Bundle
from siad.models.runner.open import AUTO, limit_threads
from siad.models.slots import Room, memory_bytes
from siad.models.teachers.fit import fit_teacher
from siad.models.teachers.normals import Normals
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.clock import SYSTEM_CLOCK
from siad.runtime.store.registry import Registry
from siad.vision.images import Image, decode_image

NORMALS = 10
ONE_LINE = 1


@dataclass(frozen=True, slots=True)
class Arrival:
    """One image of the stream, and how it fared."""

    is_hit: bool
    seconds: float


class NoThresholds:
    """The port ``ThresholdLookup``: none was set."""

    def of(self, place: Place, weights: WeightsId) -> ThresholdSet | None:
        """Return None: the threshold of the manifest."""


def main() -> None:
    """Fit, release, stream, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--lines", type=int, default=200)
    parser.add_argument("--room", type=int, default=20, help="lines that fit in memory")
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--per-s", type=float, default=1.5)
    asked = parser.parse_args()
    limit_threads(1)
    bundle = fit(asked.folder)
    images = [decode_image(path.read_bytes()) for path in sorted((asked.folder / "test/good").iterdir())[:5]]
    asyncio.run(measure(bundle, images, asked))


def fit(folder: Path, *, first: int = 0) -> Bundle:
    """Fit a default teacher on the ten normals from ``first`` on."""
    files = sorted((folder / "train/good").iterdir())[first : first + NORMALS]
    normals = [decode_image(path.read_bytes()) for path in files]
    names = [f"{index:032x}" for index in range(len(normals))]
    return fit_teacher(Normals.ordered(normals, names, Place("line", "part")), FitSettings(false_reject_budget=0.1))


async def measure(bundle: Bundle, images: Sequence[Image], asked: argparse.Namespace) -> None:
    """Stream images of all lines through one process."""
    blobs = MemoryBlobs()
    registry = Registry(blobs)
    manifests = [replace(bundle.manifest, line=f"line-{number:03}") for number in range(asked.lines)]
    for manifest in manifests:
        registry.store(manifest, bundle.parts)
    room = Room(bytes_max=asked.room * memory_bytes(bundle.manifest))
    with (
        tempfile.TemporaryDirectory() as folder,
        ThreadPoolExecutor(1) as scorer,
        ThreadPoolExecutor(1) as loader,
    ):
        cache = WeightsCache(Path(folder), bytes_max=2**30)
        predictors = HotSwapPredictors(
            BundleLoader(Registry(blobs, cache=cache), runner=AUTO),
            NoThresholds(),
            threads=ServingThreads(scorer=scorer, loader=loader),
            limits=ServingLimits(room=room, batch_max=8, batch_wait_s=0.003),
            clock=SYSTEM_CLOCK,
        )
        running = asyncio.create_task(predictors.run())
        predictors.on_release(release_of(manifests[0]))
        await judge(predictors, manifests[0].place, images[0])
        base_mb = resident_mb()
        for manifest in manifests[1:]:
            predictors.on_release(release_of(manifest))
        await predictors.warm()
        sampling = asyncio.create_task(peak_mb())
        arrivals = await stream(predictors, manifests, images, asked)
        sampling.cancel()
        running.cancel()
        await asyncio.wait([running, sampling])
        print_result(arrivals, peak=max(PEAK), base_mb=base_mb, asked=asked)


PEAK = [0.0]


async def peak_mb() -> None:
    """Sample the resident memory until cancelled."""
    while True:
        PEAK[0] = max(PEAK[0], resident_mb())
        await asyncio.sleep(0.05)


async def stream(
    predictors: HotSwapPredictors, manifests: Sequence[Manifest], images: Sequence[Image], asked: argparse.Namespace
) -> list[Arrival]:
    """Send images at random times, whatever is judged meanwhile."""
    rng = random.Random(0)  # noqa: S311
    shares = [1 / (number + 1) for number in range(len(manifests))]
    tasks = []
    for _ in range(asked.images):
        (manifest,) = rng.choices(manifests, shares)
        tasks.append(asyncio.create_task(judge(predictors, manifest.place, rng.choice(images))))
        await asyncio.sleep(rng.expovariate(asked.per_s))
    return list(await asyncio.gather(*tasks))


async def judge(predictors: HotSwapPredictors, place: Place, image_HWC: Image) -> Arrival:
    """Judge one image, as the stage does."""
    began_s = time.perf_counter()
    is_hit = any(one.release.place == place and one.is_loaded for one in predictors.serving())
    if (reason := await predictors.prepare(place)) is not None:
        msg = f"{place} was not judged: {reason}"
        raise RuntimeError(msg)
    prediction = await predictors.predict(image_HWC, place)
    if prediction is None or prediction.release.place != place:
        msg = f"{place} was judged by {prediction}"
        raise RuntimeError(msg)
    return Arrival(is_hit, time.perf_counter() - began_s)


def release_of(manifest: Manifest) -> ReleasePointer:
    """Release some weights."""
    return ReleasePointer(place=manifest.place, kind=manifest.kind, revision=1, weights=manifest.weights)


def resident_mb() -> float:
    """Resident memory of this process."""
    return int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0]) / 1024


def print_result(arrivals: Sequence[Arrival], *, peak: float, base_mb: float, asked: argparse.Namespace) -> None:
    """Print hit rate, waiting times and memory."""
    hits = [one.seconds for one in arrivals if one.is_hit]
    misses = [one.seconds for one in arrivals if not one.is_hit]
    print(f"{asked.lines} lines, room for {asked.room}, {asked.images} images at {asked.per_s:g}/s: all judged")
    print(f"hit rate {len(hits) / len(arrivals):.0%}")
    for name, seconds in (("hits", hits), ("misses", misses), ("all", hits + misses)):
        p50, p99 = np.quantile(seconds or [0.0], (0.5, 0.99))
        print(f"{name}: p50 {1000 * p50:.0f} ms, p99 {1000 * p99:.0f} ms")
    print(f"memory: {base_mb:.0f} MB with {ONE_LINE} line, peak {peak:.0f} MB")


if __name__ == "__main__":
    main()
