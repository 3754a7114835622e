"""Programs are kept running, and stopped when told; with real, tiny programs."""

import asyncio
import os
import socket
from pathlib import Path

import pytest

from siad.cli.processes import Program, State, Supervised

SERVE = """
import http.server, sys
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def program(tmp_path: Path, *args: str, port: int = 1) -> Program:
    log = tmp_path / "log"
    return Program(name="p", args=args, env={}, ready_url=f"http://127.0.0.1:{port}/", log=log)


async def until(condition: object, *, seconds: float = 8.0) -> None:
    assert callable(condition)
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


async def test_a_program_is_ready_once_it_answers_and_is_gone_once_stopped(tmp_path: Path) -> None:
    port = free_port()
    supervised = Supervised(program(tmp_path, "-c", SERVE, str(port), port=port))
    running = asyncio.create_task(supervised.run())
    await until(lambda: supervised.state is State.READY)
    pid = supervised.pid
    assert pid is not None
    await supervised.stop()
    await running
    assert supervised.state is State.STOPPED
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_program_that_falls_is_started_again(tmp_path: Path) -> None:
    marker = tmp_path / "starts"
    code = f"open({str(marker)!r}, 'a').write('x'); raise SystemExit(3)"
    supervised = Supervised(program(tmp_path, "-c", code))
    running = asyncio.create_task(supervised.run())
    await until(lambda: marker.exists() and len(marker.read_text()) >= 2)
    await supervised.stop()
    await running
    assert supervised.restarts >= 1
    assert supervised.last_exit == 3


async def test_what_a_program_prints_is_in_its_log(tmp_path: Path) -> None:
    supervised = Supervised(program(tmp_path, "-c", "print('hello'); import time; time.sleep(60)"))
    running = asyncio.create_task(supervised.run())
    await until(lambda: (tmp_path / "log").exists() and (tmp_path / "log").read_text() == "hello\n")
    await supervised.stop()
    await running
