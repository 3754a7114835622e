"""Play runbooks through: ``python -m tests.e2e.runbooks [PLAY ...]``.

Starts broker, store, ingest, console and inference as `siad up` does, with Kafka, teachers of real images, and a
Prometheus with the rules of the chart, whose waits and windows are divided by ``--divisor``. Plays run one after the
other. Writes the transcripts to ``--out``, and with ``--write`` to the pages in docs/runbooks. Takes about 20 minutes;
exit status 1 where an alert did not fire or did not end.
"""

import argparse
import asyncio
import json
import shutil
import sys
import time
from pathlib import Path
from typing import Final

import httpx

from siad.apps.client import IngestClient
from siad.apps.local.bus_choice import BusKind
from siad.apps.local.data_folder import locked
from siad.apps.local.machine import Machine
from siad.apps.local.run import run_machine, wait_ready
from siad.contracts.drift import DriftCause
from tests.e2e.runbooks.drifts import ALERT, cameras_drift, line_of
from tests.e2e.runbooks.inspection import STAGES, InspectionMachine
from tests.e2e.runbooks.monitor import Alerts, prometheus
from tests.e2e.runbooks.pages import write_pages
from tests.e2e.runbooks.plays import CAMERAS, PLAYS, STEADY, Play
from tests.e2e.runbooks.rules import write_rules
from tests.e2e.runbooks.stand import Stand

ROOT: Final = Path(__file__).parents[3]
RULES: Final = ROOT / "charts/siad/monitoring"
SETTINGS: Final = {
    "SIAD_INGEST_MISSING_AFTER_S": "15",
    "SIAD_INFERENCE_SPOOL_MAX": "20",
}
DRIFTS: Final = Play("Six lines drift, each by another cause.", tuple(ALERT.values()), cameras_drift)
ALL: Final = {**PLAYS, "drifts": DRIFTS}


async def play_all(machine: Machine, names: list[str], asked: argparse.Namespace) -> dict[str, dict[str, object]]:
    """Teach the lines, and run the plays in order."""
    await wait_ready(machine, print, timeout_s=900)
    rules = write_rules(RULES, asked.out, asked.divisor)
    targets = [machine.url(stage).removeprefix("http://") for stage in STAGES]
    report: dict[str, dict[str, object]] = {}
    with prometheus(asked.out, targets, rules) as url:
        async with IngestClient(machine.url("ingest"), retry_for_s=600) as client:
            stand = Stand(machine, Alerts(url), client, asked.data / asked.set)
            stand.load()
            lines = [STEADY, *CAMERAS, *([line_of(cause) for cause in DriftCause] if "drifts" in names else [])]
            await stand.teach(lines)
            await stand.until_taught(lines, 600)
            steady = asyncio.create_task(stand.stream(STEADY))
            try:
                for name in names:
                    report[name] = await _played(stand, name)
                    (asked.out / "report.json").write_text(json.dumps(report, indent=2) + "\n")
            finally:
                steady.cancel()
    return report


async def _played(stand: Stand, name: str) -> dict[str, object]:
    play, began_s = ALL[name], time.monotonic()
    print(f"\n==> {name}: {play.fault}", flush=True)
    stand.lines, stand.failed = [], set()
    failure = ""
    try:
        await play.run(stand)
    except (AssertionError, ExceptionGroup, TimeoutError, httpx.TransportError) as error:
        failure = f"{type(error).__name__}: {error}"
        stand.note(f"FAILED {failure}")
    return {
        "fault": play.fault,
        "alerts": play.alerts,
        "lines": {ALERT[cause]: line_of(cause) for cause in DriftCause} if play is DRIFTS else {},
        "failure": failure,
        "failed_alerts": sorted(stand.failed),
        "seconds": round(time.monotonic() - began_s),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "transcript": stand.lines,
    }


def main() -> int:
    """Run the plays; 0 where every alert fired and ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plays", nargs="*", help=f"of {', '.join(ALL)}; left out: all")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data", help="folder of sets of images")
    parser.add_argument("--set", default="bottle", help="set of images, in MVTec-AD's layout")
    parser.add_argument("--divisor", type=int, default=20, help="of waits and windows in the rules")
    parser.add_argument("--out", type=Path, default=Path("var/runbooks"))
    parser.add_argument("--write", action="store_true", help="write the transcripts into docs/runbooks")
    asked = parser.parse_args()
    if unknown := sorted(set(asked.plays) - ALL.keys()):
        parser.error(f"no play {', '.join(unknown)}; there are {', '.join(ALL)}")
    asked.out = asked.out.resolve()
    shutil.rmtree(asked.out, ignore_errors=True)
    asked.out.mkdir(parents=True)
    report: dict[str, dict[str, object]] = {}

    async def work(machine: Machine) -> None:
        report.update(await play_all(machine, asked.plays or list(ALL), asked))

    machine = InspectionMachine(asked.out / "machine", extra=SETTINGS, bus=BusKind.KAFKA)
    with locked(machine.data):
        run_machine(machine, work, notify=print)
    if asked.write:
        write_pages(ROOT / "docs/runbooks", report, divisor=asked.divisor)
    failed = [name for name, found in report.items() if found["failure"] or found["failed_alerts"]]
    print(f"{len(report) - len(failed)} of {len(report)} played through; {', '.join(failed) or 'none'} failed")
    return 1 if failed or not report else 0


if __name__ == "__main__":
    sys.exit(main())
