"""Soak test: memory and lag under load for ten minutes.

The load is half of what this machine can do; memory of every process and lag must stay flat.

    make soak                          # or: python -m benchmarks.soak --minutes 10
    python -m benchmarks.soak --per-s 4 --minutes 4    # a fixed rate, without the ramp

Starts all stages as `siad up` does, fits a teacher for one line, raises the rate step by step until lag grows, and then
streams at half of the highest sustained rate. Every 5 s it reads the memory of every process (stages, Ray's, broker,
store) and the lag of every stage. Writes var/soak/report.json and var/soak/chart.svg; exits with 1 where a
process or stage is not flat. No training run takes place: a process that runs for a minute has no slope to judge.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import httpx

from benchmarks.soak_chart import write_chart
from benchmarks.soak_judge import SETTLED_S, Flatness, Sample, judge_lag, judge_memory, passers_by
from benchmarks.soak_processes import below, name_of, rss_mb
from siad.apps.client import IngestClient
from siad.apps.local.data_folder import locked
from siad.apps.local.machine import Machine
from siad.apps.local.run import run_machine, wait_ready
from siad.apps.local.stage_status import read_stage
from tests.e2e.chaos.cameras import Cameras

STAGES: Final = ("ingest", "labeler", "console", "trainer", "inference")
EVERY_S: Final = 5.0
STEP_S: Final = 15.0  # of one rate in the ramp; lag is reported every 5 s
RATES: Final = (2.0, 3.0, 4.5, 6.5, 10.0, 15.0, 22.0, 33.0)
WORK_MAX_S: Final = 2.0  # of work that may wait at the end of a step; more means that lag grows
DRAIN_S: Final = 300.0  # after the step that was too much
NORMALS: Final = 10


@dataclass(slots=True)
class Soak:
    """What was asked for, and what was found."""

    minutes: float
    per_s: float  # 0: find it
    folder: Path
    steps: list[dict[str, float]] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)

    async def run(self, machine: Machine) -> None:
        """Teach, ramp, soak."""
        await wait_ready(machine, say)
        async with IngestClient(machine.url("ingest"), retry_for_s=300) as client:
            cameras = Cameras(client, "soak-1")
            await cameras.register()
            await cameras.send_normals(NORMALS)
            await _until_taught(machine)
            say(f"load of the machine before the ramp: {_load()}")
            if not self.per_s:
                self.per_s = await self._ramp(machine, cameras) / 2
            say(f"{self.minutes:g} minutes at {self.per_s:g} captures/s")
            sampling = asyncio.create_task(self._sample(machine))
            await cameras.stream(int(self.minutes * 60 * self.per_s), per_s=self.per_s)
            sampling.cancel()
            await asyncio.wait([sampling])

    async def _ramp(self, machine: Machine, cameras: Cameras) -> float:
        """The highest rate at which lag stays flat."""
        best = RATES[0]
        for rate in RATES:
            began_s = time.monotonic()
            await cameras.stream(int(rate * STEP_S), per_s=rate)
            accepted_per_s = int(rate * STEP_S) / (time.monotonic() - began_s)
            lag = max((await _lag(machine)).values())
            holds = accepted_per_s >= 0.95 * rate and lag <= WORK_MAX_S * rate
            say(f"ramp: {rate:g}/s, accepted {accepted_per_s:.1f}/s, lag {lag}: {'holds' if holds else 'too much'}")
            self.steps.append({"per_s": rate, "accepted_per_s": round(accepted_per_s, 2), "lag": lag, "holds": holds})
            await _until_drained(machine)
            if not holds:
                break
            best = rate
        return best

    async def _sample(self, machine: Machine) -> None:
        began_s = time.monotonic()
        while True:
            at_s, found = time.monotonic() - began_s, {}
            for pid in [os.getpid(), *below(os.getpid())]:
                if (megabytes := rss_mb(pid)) is not None:
                    found[pid] = megabytes
                    self.names[pid] = "cameras (this benchmark)" if pid == os.getpid() else name_of(pid)
            self.samples.append(Sample(at_s, found, await _lag(machine)))
            await asyncio.sleep(max(0.0, began_s + EVERY_S * len(self.samples) - time.monotonic()))

    def report(self) -> bool:
        """Print and write what was found; whether all is flat."""
        memory, lag = judge_memory(self.samples, self.names), judge_lag(self.samples, per_s=self.per_s)
        title = f"{self.minutes:g} minutes at {self.per_s:g} captures/s"
        others = passers_by(self.samples, self.names)
        say(f"{title}, load {_load()}; judged from minute {SETTLED_S / 60:g} on\n")
        say(_table("process", "MB", memory))
        say(_table("stage", "records that wait", lag))
        if others:
            say(f"came or went meanwhile, and not judged: {', '.join(others)}\n")
        self.folder.mkdir(parents=True, exist_ok=True)
        found = {
            "minutes": self.minutes,
            "per_s": self.per_s,
            "load": _load(),
            "ramp": self.steps,
            "memory_mb": [asdict(row) for row in memory],
            "lag_records": [asdict(row) for row in lag],
            "came_or_went": others,
            "samples": [asdict(sample) for sample in self.samples],
            "names": self.names,
        }
        (self.folder / "report.json").write_text(json.dumps(found) + "\n")
        write_chart(self.folder / "chart.svg", self.samples, self.names, title=title)
        say(f"written to {self.folder}")
        return all(row.is_flat for row in [*memory, *lag])


def say(text: str) -> None:
    """Print at once."""
    print(text, flush=True)


def _load() -> str:
    return " ".join(f"{load:.1f}" for load in os.getloadavg())


def _table(what: str, unit: str, rows: Sequence[Flatness]) -> str:
    lines = [f"| {what} | {unit} at minute 3 | at the end | highest | a minute | flat |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {row.name} | {row.first:.1f} | {row.last:.1f} | {row.highest:.1f} | {row.slope_min:+.3f} | "
        f"{'yes' if row.is_flat else 'NO'} |"
        for row in rows
    ]
    return "\n".join([*lines, ""])


async def _lag(machine: Machine) -> dict[str, int]:
    def look() -> dict[str, int]:
        with httpx.Client(timeout=10.0) as client:
            return {name: read_stage(client, name, machine.url(name)).lag for name in STAGES}

    return await asyncio.to_thread(look)


async def _until_taught(machine: Machine) -> None:
    async with asyncio.timeout(DRAIN_S), httpx.AsyncClient(base_url=machine.url("inference")) as client:
        while not (await client.get("/v1/weights")).json()["weights"]:
            await asyncio.sleep(0.5)


async def _until_drained(machine: Machine) -> None:
    async with asyncio.timeout(DRAIN_S):
        await asyncio.sleep(EVERY_S)  # lag is told every so often
        while any((await _lag(machine)).values()):
            await asyncio.sleep(1.0)


def main() -> int:
    """Run it; 0 where all is flat."""
    parser = argparse.ArgumentParser(description="Minutes of load at half of what the machine can do.")
    parser.add_argument("--minutes", type=float, default=10.0, help="of load; judged from the third on")
    parser.add_argument("--per-s", type=float, default=0.0, help="captures; left out, half of what a ramp finds")
    parser.add_argument("--out", type=Path, default=Path("var/soak"), help="folder of machine, report and chart")
    asked = parser.parse_args()
    if asked.minutes * 60 < SETTLED_S + 10 * EVERY_S:
        parser.error(f"--minutes {asked.minutes:g} leaves too little after the third minute; give it 4 or more")
    soak = Soak(minutes=asked.minutes, per_s=asked.per_s, folder=asked.out.resolve())
    data = soak.folder / "machine"
    no_training = {"SIAD_TRAINER_CAPTURES_MIN": "1000000"}
    with locked(data):
        run_machine(Machine(data, extra=no_training), soak.run, notify=say)
    return 0 if soak.report() else 1


if __name__ == "__main__":
    sys.exit(main())
