"""Start of one machine, and its memory at rest.

    python -m benchmarks.start  # or --bus embedded

Runs `siad up` in a new folder until it prints what to do next, waits, lists every process with its CPU time, its memory
(proportional: a page that several processes share counts in parts) and whether it has loaded torch, and stops it.
Seconds of CPU tell a start on a quiet machine better than the clock of a busy one does: on two cores it takes at least
half of them.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from benchmarks.soak_processes import below, name_of

READY: Final = "next: siad line put"
REST_S: Final = 15.0
STOP_S: Final = 120.0


def main() -> None:
    """Start, measure, stop."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bus", default="auto", help="auto, kafka or embedded")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="siad-start-", ignore_cleanup_errors=True) as data:
        began_s = time.monotonic()
        command = [sys.executable, "-m", "siad.apps.cli", "up", "--data", data, "--bus", asked.bus]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as machine:
            try:
                assert machine.stdout is not None
                for line in machine.stdout:
                    print(f"{time.monotonic() - began_s:6.1f} s  {line.rstrip()}")
                    if READY in line:
                        print_processes(machine.pid)
                        break
            finally:
                stopped_s = time.monotonic()
                machine.send_signal(signal.SIGINT)
                machine.wait(STOP_S)
                print(f"stopped within {time.monotonic() - stopped_s:.1f} s")


def print_processes(root: int) -> None:
    """List a machine's processes once it has come to rest."""
    at_ready_s = sum(_cpu_s(pid) for pid in (root, *below(root)))
    time.sleep(REST_S)
    total_mb, torch = 0.0, 0
    for pid in (root, *below(root)):
        with suppress(OSError):
            proportional_mb = _proportional_mb(pid)
            has_torch = "libtorch" in Path(f"/proc/{pid}/maps").read_text()
            total_mb += proportional_mb
            torch += has_torch
            loaded = ", with torch" if has_torch else ""
            print(f"  {name_of(pid):<40} {_cpu_s(pid):5.1f} s of CPU {proportional_mb:6.0f} MB{loaded}")
    print(f"ready after {at_ready_s:.1f} s of CPU; at rest {total_mb:.0f} MB, {torch} processes with torch")


def _cpu_s(pid: int) -> float:
    """CPU time of a process and its ended children; 0 if gone."""
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def _proportional_mb(pid: int) -> float:
    found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    return 0.0 if found is None else int(found[1]) * 1024 / 1e6


if __name__ == "__main__":
    main()
