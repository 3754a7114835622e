"""Cost of a trial for verdicts.

    python -m benchmarks.shadow FOLDER --per-s 3  # MVTec-AD's layout; about four minutes

A teacher is fitted on ten images of the folder and serves; the candidate is the same network under another name, so it
costs as much. Images come at a steady rate. Blocks without a trial, with one in the shadow, and with a canary that
decides half alternate, so that all see the same machine. Printed for each: 50th and 99th percentile of the time from an
image to its finding, their ratios to those without a trial, second judgements, and their CPU time as a share of a core.
"""

import argparse
import asyncio
import itertools
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
from prometheus_client import REGISTRY

from benchmarks.lines import NoThresholds, fit, release_of
from services.inference.adapters.limits import ServingLimits, ServingThreads
from services.inference.adapters.load import BundleLoader
from services.inference.adapters.predictors import HotSwapPredictors
from services.inference.adapters.trials import Trials
from services.inference.domain.judge import NO_TIME, CaptureJudgement
from siad.contracts.events import ImageStored, Intent
from siad.contracts.ids import CaptureId, ImageId
from siad.contracts.manifest import Manifest
from siad.contracts.normals_profile import SizeRule
from siad.contracts.topics import SHADOW
from siad.contracts.trials import TrialChanged, TrialPhase
from siad.models.runner.open import AUTO, limit_threads
from siad.models.slots import Room
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.bus.memory import MemoryBus
from siad.runtime.clock import SYSTEM_CLOCK
from siad.runtime.store.registry import Registry
from siad.vision.images import Image, decode_image

PHASES: Final = {"without": TrialPhase.ENDED, "shadow": TrialPhase.SHADOW, "canary": TrialPhase.CANARY}
PAUSE_S: Final = 2.0  # between two blocks, for second judgements that wait


@dataclass(slots=True)
class TrialPlant:
    """Weights that serve, a candidate, and the images that both judge."""

    predictors: HotSwapPredictors
    trials: Trials
    serving: Manifest
    candidate: Manifest
    images: Sequence[Image]
    captures: int = 0
    moves: int = 0

    def move(self, phase: TrialPhase) -> None:
        """Begin a phase, as by an event of the trainer."""
        self.moves += 1
        trial = TrialChanged(
            line=self.serving.line,
            product=self.serving.product,
            revision=self.moves,
            trial=1,
            phase=phase,
            candidate=self.candidate.weights,
            serving=self.serving.weights,
            serving_kind=self.serving.kind,
            canary_share=0.5,
            changed_at=datetime.now(UTC),
        )
        self.trials.on_trial("", trial)

    def next_event(self) -> ImageStored:
        """Make the event of another capture."""
        self.captures += 1
        now = datetime.now(UTC)
        return ImageStored(
            capture_id=CaptureId(f"{self.captures:032x}"),
            image_id=ImageId("0" * 64),
            image_uri="s3://measured/image",
            size_bytes=1,
            line=self.serving.line,
            product=self.serving.product,
            line_revision=1,
            captured_at=now,
            received_at=now,
            intent=Intent.INSPECT,
            serial="",
        )

    async def judge(self, image_HWC: Image) -> float:
        """Judge one image and offer it to the trial; return the seconds."""
        event, began_s = self.next_event(), time.perf_counter()
        predictors = self.trials.predictors_of(event, self.predictors)
        await predictors.prepare(self.serving.place)
        prediction = await predictors.predict(image_HWC, self.serving.place)
        took_s = time.perf_counter() - began_s
        if prediction is None:
            msg = "an image was not judged"
            raise RuntimeError(msg)
        judgement = CaptureJudgement.of(prediction, times=NO_TIME)
        self.trials.offer(event, image_HWC, judgement, sizes=SizeRule.NORMALS)
        return took_s

    async def stream(self, *, per_s: float, seconds: float) -> list[float]:
        """Send images at a steady rate, whatever is judged meanwhile."""
        tasks, began_s = [], time.perf_counter()
        for number in itertools.count():
            due_s = began_s + number / per_s
            if due_s > began_s + seconds:
                break
            await asyncio.sleep(max(due_s - time.perf_counter(), 0.0))
            tasks.append(asyncio.create_task(self.judge(self.images[number % len(self.images)])))
        return list(await asyncio.gather(*tasks))


def main() -> None:
    """Fit, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--per-s", type=float, default=3.0, help="images; a quarter of what this machine can do")
    parser.add_argument("--blocks", type=int, default=4, help="of each kind")
    parser.add_argument("--block-s", type=float, default=20.0, help="seconds of one block")
    parser.add_argument("--share", type=float, default=0.25, help="of a core for second judgements")
    asked = parser.parse_args()
    limit_threads(1)
    asyncio.run(measure(asked))


async def measure(asked: argparse.Namespace) -> None:
    """Run blocks of each kind in turns."""
    teacher = fit(asked.folder, first=0)
    images = [decode_image(path.read_bytes()) for path in sorted((asked.folder / "test/good").iterdir())[:5]]
    registry, bus = Registry(MemoryBlobs()), MemoryBus(partitions=1)
    candidate = replace(teacher.manifest, code_version="candidate")
    for manifest in (teacher.manifest, candidate):
        registry.store(manifest, teacher.parts)
    await bus.create_topics([SHADOW])
    stop = asyncio.Event()
    with ThreadPoolExecutor(1) as scorer, ThreadPoolExecutor(1) as loader:
        predictors = HotSwapPredictors(
            BundleLoader(registry, runner=AUTO),
            NoThresholds(),
            threads=ServingThreads(scorer=scorer, loader=loader),
            limits=ServingLimits(room=Room(models_max=16), batch_max=8, batch_wait_s=0.003),
            clock=SYSTEM_CLOCK,
        )
        trials = Trials(predictors, NoThresholds(), loader=loader, share=asked.share, clock=SYSTEM_CLOCK)
        running = [asyncio.create_task(predictors.run()), asyncio.create_task(trials.run(bus, stop))]
        predictors.on_release(release_of(teacher.manifest))
        await predictors.prepare(teacher.manifest.place)
        plant = TrialPlant(predictors, trials, teacher.manifest, candidate, images)
        plant.move(TrialPhase.SHADOW)
        await plant.stream(per_s=asked.per_s, seconds=5.0)  # warm, and the candidate is loaded
        found: dict[str, list[float]] = defaultdict(list)
        spent: dict[str, tuple[float, float]] = {}
        for _, (name, phase) in itertools.product(range(asked.blocks), PHASES.items()):
            plant.move(phase)
            before = counted(teacher.manifest.line)
            found[name] += await plant.stream(per_s=asked.per_s, seconds=asked.block_s)
            await asyncio.sleep(PAUSE_S)
            judged, cpu_s = (now - then for now, then in zip(counted(teacher.manifest.line), before, strict=True))
            sums = spent.get(name, (0.0, 0.0))
            spent[name] = (sums[0] + judged, sums[1] + cpu_s)
        stop.set()
        running[0].cancel()
        await asyncio.wait(running)
    print_result(found, spent, seconds=asked.blocks * (asked.block_s + PAUSE_S))


def counted(line: str) -> tuple[float, float]:
    """Return second judgements so far, and their CPU time."""
    judged = REGISTRY.get_sample_value("siad_inference_shadows_total", {"line": line, "outcome": "judged"})
    cpu_s = REGISTRY.get_sample_value("siad_inference_shadow_cpu_seconds_total", {"line": line})
    return judged or 0.0, cpu_s or 0.0


def print_result(found: dict[str, list[float]], spent: dict[str, tuple[float, float]], *, seconds: float) -> None:
    """Print waiting times and ratios."""
    base = np.quantile(found["without"], (0.5, 0.99))
    for name, times in found.items():
        p50, p99 = np.quantile(times, (0.5, 0.99))
        judged, cpu_s = spent[name]
        print(
            f"{name}: {len(times)} images, p50 {1000 * p50:.0f} ms (ratio {p50 / base[0]:.2f}), "
            f"p99 {1000 * p99:.0f} ms (ratio {p99 / base[1]:.2f}); {judged:.0f} second judgements, "
            f"{cpu_s / seconds:.3f} of a core"
        )


if __name__ == "__main__":
    main()
