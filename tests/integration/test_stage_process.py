"""A stage as a process: how it ends."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

PROGRAM = """
import asyncio, sys
from siad.runtime.worker import no_adapters, run_stage
from siad.runtime.settings import StageSettings

async def bug():
    raise ZeroDivisionError("of course")

def assemble(stage):
    if sys.argv[1] == "bug":
        stage.tasks["bug"] = bug
    return no_adapters(stage)

run_stage("paint", StageSettings(http_port=0), assemble)
"""


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that a test started, ended with it."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def start(processes: list[subprocess.Popen[str]], how: str) -> subprocess.Popen[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("SIAD_")}
    env["OMP_NUM_THREADS"] = "1"
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, how], stdout=subprocess.PIPE, text=True, env=env)
    processes.append(process)
    return process


def test_a_process_ends_well_on_a_signal_and_badly_on_a_bug(processes: list[subprocess.Popen[str]]) -> None:
    good, bad = start(processes, "well"), start(processes, "bug")
    assert good.stdout is not None
    first = json.loads(good.stdout.readline())
    assert (first["event"], first["stage"]) == ("stage_started", "paint")
    good.send_signal(signal.SIGTERM)
    events = [json.loads(line)["event"] for line in good.communicate(timeout=10)[0].splitlines()]
    assert good.returncode == 0
    assert [event for event in events if event.startswith("stage_")] == [
        "stage_signalled",
        "stage_draining",
        "stage_stopped",
    ]
    lines = [json.loads(line) for line in bad.communicate(timeout=10)[0].splitlines()]
    assert bad.returncode == 1
    told = [line for line in lines if "ZeroDivisionError: of course" in line.get("exception", "")]
    assert [line["event"] for line in told] == ["stage_ended"]  # once
