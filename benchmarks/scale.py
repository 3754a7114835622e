"""Plan of a plant from measured costs: ``python -m benchmarks.scale --lines 30 --per-s 20 --megapixels 0.8``.

    python -m benchmarks.scale --measure --data ../shared/data  # a machine with 1, 2, 4 and 8 lines; about ten minutes
    python -m benchmarks.scale --write                          # values-small, -medium and -large.yaml of the chart
    python -m benchmarks.scale --per-s 20 --prices prices.json  # money too; prices are yours, with their date

``--measure`` starts broker, store, ingest, console and inference as `siad up` does, with Kafka, and writes
``benchmarks/scale_costs.json``: CPU of each role while nothing comes, for a capture, and for its pixels; requests and
bytes to the store; the growth of the logs of the broker. A pseudo-mask is measured in one process. Four lines calibrate
the model, and 1, 2 and 8 lines check it. Other work on the machine slows a phase down and hardly changes its CPU.
Without --measure the
recorded costs are used.
"""

import argparse
import asyncio
import json
import os
import random
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from benchmarks.scale_costs import LabelCost, Measurement, cores_error, costs_of, costs_to_plain, fit_costs
from benchmarks.scale_measure import NORMALS, Meter, Phase, label_s, teach
from benchmarks.scale_model import Costs, Plan, Plant, Prices, make_plan, money_of
from benchmarks.scale_values import PLANTS, render
from benchmarks.store_traffic import StoreTraffic, forwarded
from siad.apps.client import IngestClient
from siad.apps.local.bus_choice import BusKind
from siad.apps.local.data_folder import locked
from siad.apps.local.machine import BUCKET, Machine
from siad.apps.local.run import run_machine, wait_ready
from siad.apps.local.weed import WeedNode
from siad.models.bundle import Bundle
from siad.vision.images import decode_image
from tests.e2e.runbooks.inspection import InspectionMachine

ROOT: Final = Path(__file__).parents[1]
COSTS: Final = ROOT / "benchmarks/scale_costs.json"
CHART: Final = ROOT / "charts/siad"
LINES: Final = (1, 2, 4, 8)
CALIBRATED: Final = 4  # lines of the phase that the model is fitted to; one line has too few captures
CAPTURES: Final = 12  # of each line in a phase
SMALL, LARGE = "dobot_cubes", "bottle"


def main() -> int:
    """Measure, write or plan."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", action="store_true", help="measure the costs and check the model")
    parser.add_argument("--write", action="store_true", help="write the chart's values of three sizes")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data")
    parser.add_argument("--out", type=Path, default=Path("var/scale"), help="folder of the machine")
    parser.add_argument("--costs", type=Path, default=COSTS)
    parser.add_argument("--prices", type=Path, help="JSON with source, core_month, gpu_month, tb_month, ...")
    for name, kind, default in (
        *(("lines", int, 10), ("per_s", float, 5.0), ("megapixels", float, 0.8), ("file_mb", float, 0.5)),
        *(("labelled_share", float, 1.0), ("gpus", int, 0), ("kept_days", float, 30.0)),
    ):
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, default=default)
    asked = parser.parse_args()
    if asked.measure:
        asked.costs.write_text(json.dumps(measure(asked), indent=2) + "\n")
    recorded = json.loads(asked.costs.read_text())
    costs = costs_of(recorded["costs"])
    if asked.write:
        for name in PLANTS:
            (CHART / f"values-{name}.yaml").write_text(render(name, costs))
    plant = Plant(**{name: getattr(asked, name) for name in _PLANNED})
    prices = Prices(**json.loads(asked.prices.read_text())) if asked.prices else None
    print_plan(make_plan(costs, plant), plant, costs, prices)
    return 0


_PLANNED: Final = ("lines", "per_s", "megapixels", "file_mb", "labelled_share", "gpus", "kept_days")


def print_plan(plan: Plan, plant: Plant, costs: Costs, prices: Prices | None) -> None:
    """Print pods, partitions, brokers, traffic, limits and money."""
    print(f"{plant.lines} lines, {plant.per_s:g} captures/s at peak; costs of {costs.measured}\n")
    print("| role | cores in use | pods | MB a pod |\n|---|---|---|---|")
    for name, role in plan.roles.items():
        print(f"| {name} | {role.cores:.2f} | {role.pods} | {role.memory_mb:.0f} |")
    print(f"\n{plan.partitions} partitions, {plan.brokers} brokers ({plan.broker_mb_s:.2f} MB/s with copies)")
    print(f"store: {plan.store_mb_s:.1f} MB/s, {plan.puts_s:.0f} PUT/s, {plan.gets_s:.0f} other requests/s, "
          f"{plan.stored_tb:.1f} TB after {plant.kept_days:g} days")  # fmt: skip
    if plan.gpus:
        print(f"{plan.gpus} GPUs, each taken as {plant.gpu_speed:g} cores (an assumption: no GPU was measured)")
    print("\n| part | takes captures/s |\n|---|---|")
    for name, limit in plan.limits.items():
        print(f"| {name} | {limit:.0f} |")
    if prices is not None:
        money = money_of(plan, plant, prices)
        print(f"\na month by {prices.source}: {sum(money.values()):.0f} ({_listed(money)})")


def _listed(money: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.0f}" for name, value in money.items())


def measure(asked: argparse.Namespace) -> dict[str, Any]:
    """Run the machine and its phases; returns what is recorded."""
    folder = asked.out.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    store = WeedNode(folder / "own-store")
    store.start()
    address = urlsplit(store.endpoint)
    phases: list[Phase] = []
    teachers: dict[str, Bundle] = {}
    images = {name: _load(asked.data / name / "train/good") for name in (SMALL, LARGE)}
    try:
        with forwarded(str(address.hostname), int(address.port or 0)) as traffic:
            os.environ.update(
                store.environment(BUCKET) | {"SIAD_STORE_ENDPOINT_URL": f"http://127.0.0.1:{traffic.port}"}
            )
            machine = InspectionMachine(folder / "machine", bus=BusKind.KAFKA)

            async def work(machine: Machine) -> None:
                teachers.update(await _phases(machine, traffic, images, phases))

            with locked(machine.data):
                run_machine(machine, work, notify=print)
    finally:
        store.stop()
    day = time.strftime("%d %B %Y", time.gmtime())
    measured = f"{day}, {os.cpu_count()} cores ({_cpu()}), `python -m benchmarks.scale --measure`"
    file_bytes = sum(map(len, images[SMALL])) / len(images[SMALL])
    found = Measurement(
        idle=phases[0], small=phases[1 + LINES.index(CALIBRATED)], large=phases[-1], file_bytes=file_bytes
    )
    label = LabelCost(
        small_s=label_s(teachers["line-0"], images[SMALL][NORMALS:]),
        large_s=label_s(teachers["large"], images[LARGE][NORMALS:]),
    )
    costs = fit_costs(found, label, measured=measured)
    checks = cores_error(costs, phases[1:-1])
    print("| lines | captures/s | cores | by the model | error |\n|---|---|---|---|---|")
    for phase, cores, error in checks:
        rate = phase.captures / phase.seconds
        print(f"| {phase.lines} | {rate:.2f} | {phase.cores:.2f} | {cores:.2f} | {100 * error:+.0f}% |")
    return {"costs": costs_to_plain(costs), "phases": [asdict(phase) for phase in phases]}


async def _phases(
    machine: Machine, traffic: StoreTraffic, images: dict[str, list[bytes]], phases: list[Phase]
) -> dict[str, Bundle]:
    await wait_ready(machine, print, timeout_s=600)
    lines = {f"line-{number}": images[SMALL] for number in range(max(LINES))} | {"large": images[LARGE]}
    meter = Meter(machine, traffic)
    async with IngestClient(machine.url("ingest"), retry_for_s=600) as client:
        teachers = await teach(machine, client, lines)
        await asyncio.sleep(5)  # what the teachers began ends
        sizes = {name: _megapixels(some[0]) for name, some in images.items()}
        phases.append(await meter.phase(client, {}, megapixels=sizes[SMALL]))
        for count in LINES:
            sent = dict.fromkeys(list(lines)[:count], images[SMALL][NORMALS : NORMALS + CAPTURES])
            phases.append(await meter.phase(client, sent, megapixels=sizes[SMALL]))
            print(phases[-1], flush=True)
        sent = {"large": images[LARGE][NORMALS : NORMALS + CAPTURES]}
        phases.append(await meter.phase(client, sent, megapixels=sizes[LARGE]))
        print(phases[-1], flush=True)
    return teachers


def _load(folder: Path) -> list[bytes]:
    paths = sorted(folder.iterdir())
    random.Random(0).shuffle(paths)  # noqa: S311 - an order, no secret
    return [path.read_bytes() for path in paths[: NORMALS + CAPTURES]]


def _megapixels(data: bytes) -> float:
    image_HWC = decode_image(data)
    return round(float(image_HWC.shape[0] * image_HWC.shape[1]) / 1e6, 3)


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(": ")[2]
    return "unknown"


if __name__ == "__main__":
    sys.exit(main())
