"""Twenty swaps of a line's weights in a minute, under load.

    python -m benchmarks.swaps FOLDER --per-s 5  # MVTec-AD's layout; about three minutes

Two teachers are fitted, on different normals of the folder. Images come at a steady rate, first for a minute without
swaps, then for one in which the line's release changes every three seconds between new names of the two; every release
is other weights to the process. Printed: images, findings by weights that were never released (0), 50th and 99th
percentile of the time from an image to its finding in both minutes and their ratio, the longest pause, and the resident
memory after the third and the twentieth swap.
"""

import argparse
import asyncio
import itertools
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.lines import NoThresholds, fit, release_of, resident_mb
from services.inference.adapters.limits import ServingLimits, ServingThreads
from services.inference.adapters.load import BundleLoader
from services.inference.adapters.predictors import HotSwapPredictors
from siad.contracts.manifest import Manifest
from siad.models.bundle import Bundle
from siad.models.runner.open import AUTO, limit_threads
from siad.models.slots import Room
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.clock import SYSTEM_CLOCK
from siad.runtime.store.registry import Registry
from siad.vision.images import Image, decode_image

SWAPS, MINUTE_S = 20, 60.0


@dataclass(frozen=True, slots=True)
class MinuteOfImages:
    """One minute of images."""

    seconds: Sequence[float]  # from each image to its finding
    judged_by: frozenset[str]  # weights


def main() -> None:
    """Fit, swap, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--per-s", type=float, default=5.0, help="images; half of what this machine can do")
    asked = parser.parse_args()
    limit_threads(1)
    teachers = [fit(asked.folder, first=0), fit(asked.folder, first=10)]
    images = [decode_image(path.read_bytes()) for path in sorted((asked.folder / "test/good").iterdir())[:5]]
    asyncio.run(measure(teachers, images, per_s=asked.per_s))


def releases(teachers: Sequence[Bundle]) -> list[Bundle]:
    """Give each swap weights of its own, of both teachers in turn."""
    return [
        Bundle(replace(teacher.manifest, code_version=f"swap {number}"), teacher.parts)
        for number, teacher in zip(range(SWAPS + 1), itertools.cycle(teachers), strict=False)
    ]


async def measure(teachers: Sequence[Bundle], images: Sequence[Image], *, per_s: float) -> None:
    """Measure a minute without swaps, and one with them."""
    registry, bundles = Registry(MemoryBlobs()), releases(teachers)
    for bundle in bundles:
        registry.store(bundle.manifest, bundle.parts)
    manifests = [bundle.manifest for bundle in bundles]
    with ThreadPoolExecutor(1) as scorer, ThreadPoolExecutor(1) as loader:
        predictors = HotSwapPredictors(
            BundleLoader(registry, runner=AUTO),
            NoThresholds(),
            threads=ServingThreads(scorer=scorer, loader=loader),
            limits=ServingLimits(room=Room(models_max=16), batch_max=8, batch_wait_s=0.003),
            clock=SYSTEM_CLOCK,
        )
        running = asyncio.create_task(predictors.run())
        predictors.on_release(release_of(manifests[0]))
        await predictors.prepare(manifests[0].place)
        await stream(predictors, manifests[0], images, per_s=per_s, seconds=5.0)  # warm
        before = await stream(predictors, manifests[0], images, per_s=per_s, seconds=MINUTE_S)
        swapping = asyncio.create_task(swap(predictors, manifests))
        during = await stream(predictors, manifests[0], images, per_s=per_s, seconds=MINUTE_S)
        memory_mb = await swapping
        running.cancel()
        await asyncio.wait([running])
    print_result(before, during, {manifest.weights for manifest in manifests})
    swaps = sum(serving.swaps for serving in predictors.serving())
    print(f"{swaps} swaps, longest pause {1000 * predictors.longest_pause_s:.3f} ms")
    print(f"memory after swap 3: {memory_mb[2]:.0f} MB, after swap {SWAPS}: {memory_mb[-1]:.0f} MB")


async def swap(predictors: HotSwapPredictors, manifests: Sequence[Manifest]) -> list[float]:
    """Release new weights every three seconds; return the memory after each."""
    memory_mb = []
    for revision, manifest in enumerate(manifests[1:], start=2):
        predictors.on_release(replace(release_of(manifest), revision=revision))
        await asyncio.sleep(MINUTE_S / SWAPS)
        memory_mb.append(resident_mb())
    return memory_mb


async def stream(
    predictors: HotSwapPredictors, manifest: Manifest, images: Sequence[Image], *, per_s: float, seconds: float
) -> MinuteOfImages:
    """Send images at a steady rate, whatever is judged meanwhile."""
    tasks, began_s = [], time.perf_counter()
    for number in itertools.count():
        due_s = began_s + number / per_s
        if due_s > began_s + seconds:
            break
        await asyncio.sleep(max(due_s - time.perf_counter(), 0.0))
        tasks.append(asyncio.create_task(judge(predictors, manifest, images[number % len(images)])))
    found = await asyncio.gather(*tasks)
    return MinuteOfImages([took_s for took_s, _ in found], frozenset(weights for _, weights in found))


async def judge(predictors: HotSwapPredictors, manifest: Manifest, image_HWC: Image) -> tuple[float, str]:
    """Judge one image; return its seconds and the weights that judged it."""
    began_s = time.perf_counter()
    reason = await predictors.prepare(manifest.place)
    prediction = await predictors.predict(image_HWC, manifest.place)
    if reason is not None or prediction is None:
        msg = f"an image was not judged: {reason}"
        raise RuntimeError(msg)
    return time.perf_counter() - began_s, prediction.release.weights


def print_result(before: MinuteOfImages, during: MinuteOfImages, released: set[str]) -> None:
    """Print counts and waiting times of both minutes."""
    strange = len((before.judged_by | during.judged_by) - released)
    print(f"{len(before.seconds)} + {len(during.seconds)} images, each judged once")
    print(f"by weights that were never released: {strange}")
    quantiles = {}
    for name, minute in (("without swaps", before), ("with swaps", during)):
        p50, p99 = quantiles[name] = np.quantile(minute.seconds, (0.5, 0.99))
        print(f"{name}: p50 {1000 * p50:.0f} ms, p99 {1000 * p99:.0f} ms, {len(minute.judged_by)} weights")
    print(f"p99 with / without: {quantiles['with swaps'][1] / quantiles['without swaps'][1]:.2f}")


if __name__ == "__main__":
    main()
