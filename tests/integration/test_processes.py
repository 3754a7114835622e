"""Programs are kept running, and stopped when told; with real, tiny programs."""

import asyncio
import os
import sys
import time
from pathlib import Path

import pytest

from siad.apps.local.log_excerpt import describe_exit
from siad.apps.local.ports import free_ports
from siad.apps.local.processes import ProcessState, ProgramSpec, SupervisedProgram, send_signal

SERVE = """
import http.server, sys
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()
"""


def program(tmp_path: Path, *args: str, port: int = 1) -> ProgramSpec:
    log = tmp_path / "log"
    return ProgramSpec(name="p", args=args, env={}, ready_url=f"http://127.0.0.1:{port}/", log=log)


async def until(condition: object, *, seconds: float = 8.0) -> None:
    assert callable(condition)
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


async def test_a_program_is_ready_once_it_answers_and_is_gone_once_stopped(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    supervised = SupervisedProgram(program(tmp_path, "-c", SERVE, str(port), port=port))
    running = asyncio.create_task(supervised.run())
    await until(lambda: supervised.state is ProcessState.READY)
    pid = supervised.pid
    assert pid is not None
    await supervised.stop()
    await running
    assert supervised.state is ProcessState.STOPPED
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_program_that_falls_is_started_again(tmp_path: Path) -> None:
    marker = tmp_path / "starts"
    code = f"open({str(marker)!r}, 'a').write('x'); raise SystemExit(3)"
    supervised = SupervisedProgram(program(tmp_path, "-c", code))
    running = asyncio.create_task(supervised.run())
    await until(lambda: supervised.restarts == 2)  # it waits now: nothing is there to be hit while it ends
    await supervised.stop()
    await running
    assert marker.read_text() == "xx"
    assert supervised.last_exit == 3


async def test_what_a_program_prints_is_in_its_log(tmp_path: Path) -> None:
    supervised = SupervisedProgram(program(tmp_path, "-c", "print('hello'); import time; time.sleep(60)"))
    running = asyncio.create_task(supervised.run())
    await until(lambda: (tmp_path / "log").exists() and (tmp_path / "log").read_text() == "hello\n")
    await supervised.stop()
    await running


async def test_a_signal_to_a_program_that_just_ended_leaves_its_exit_status(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-ISc", "raise SystemExit(3)")
    hammer(process)
    assert await process.wait() == 3


def hammer(process: asyncio.subprocess.Process) -> None:
    """Send nothing until it has ended, without a turn of the loop, which would learn the status by itself."""
    end_s = time.monotonic() + 8
    while Path(f"/proc/{process.pid}").exists():
        send_signal(process, 0)
        assert time.monotonic() < end_s


async def test_an_exit_during_the_start_is_reported_with_its_log_and_counted(tmp_path: Path) -> None:
    reports: list[str] = []

    def report(one: SupervisedProgram) -> None:
        reports.append(describe_exit("ingest", one.last_exit, one.program.log, start=one.log_start))

    (tmp_path / "log").write_text("ValueError: of an earlier start\n")
    supervised = SupervisedProgram(program(tmp_path, "-c", "raise ValueError('port is taken')"), on_exit=report)
    running = asyncio.create_task(supervised.run())
    await until(lambda: supervised.failed_starts == 2)
    await supervised.stop()
    await running
    assert [text.splitlines()[0] for text in reports] == ["ingest ended with status 1: ValueError: port is taken"] * 2
    assert all("earlier" not in text for text in reports)


async def test_a_program_that_was_ready_has_no_failed_start(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    supervised = SupervisedProgram(program(tmp_path, "-c", SERVE, str(port), port=port), failed_starts=2)
    running = asyncio.create_task(supervised.run())
    await until(lambda: supervised.state is ProcessState.READY)
    assert supervised.failed_starts == 0
    await supervised.stop()
    await running
