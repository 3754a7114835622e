"""Supervised Python programs: started, restarted with back-off, stopped."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path

import httpx

from siad.runtime.parent_death import end_with_parent

BACKOFF_S = (0.5, 1.0, 2.0, 5.0, 10.0)  # the last repeats
STABLE_S = 60.0  # a program that ran for so long starts again with the first back-off
STOP_S = 20.0  # for a stage to drain its in-flight work; after that it is killed
POLL_READY_S, POLL_STARTING_S = 2.0, 0.3


class ProcessState(StrEnum):
    """State of a supervised program."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramSpec:
    """What to start, and where to read its readiness."""

    name: str
    args: tuple[str, ...]
    env: Mapping[str, str]
    ready_url: str
    log: Path


@dataclass(slots=True)
class SupervisedProgram:
    """One program, kept running until ``stop``."""

    program: ProgramSpec
    state: ProcessState = ProcessState.WAITING
    restarts: int = 0
    pid: int | None = None
    last_exit: int | None = None
    failed_starts: int = 0  # exits since the last time it was ready
    on_exit: Callable[["SupervisedProgram"], None] = lambda _: None  # an exit that was not requested
    log_start: int = 0  # where in the log the present start begins
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _process: asyncio.subprocess.Process | None = None

    async def run(self) -> None:
        """Start the program and restart it after each exit; return once stopped."""
        exits = 0
        while not self._stopping.is_set():
            self.state = ProcessState.STARTING
            started = time.monotonic()
            log = self.program.log
            self.log_start = log.stat().st_size if log.exists() else 0
            self._process = await _start(self.program)
            self.pid = self._process.pid
            watcher = asyncio.create_task(self._watch_readiness())
            self.last_exit = await self._process.wait()
            watcher.cancel()
            self.pid = None
            if self._stopping.is_set():
                break
            exits = 0 if time.monotonic() - started > STABLE_S else exits
            self.state = ProcessState.RESTARTING
            self.restarts += 1
            self.failed_starts += 1
            self.on_exit(self)
            await self._pause(BACKOFF_S[min(exits, len(BACKOFF_S) - 1)])
            exits += 1
        self.state = ProcessState.STOPPED

    async def stop(self) -> None:
        """Send SIGTERM, then SIGKILL after ``STOP_S``."""
        self._stopping.set()
        process = self._process
        if process is None or process.returncode is not None:
            return
        send_signal(process, signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), STOP_S)
        except TimeoutError:
            send_signal(process, signal.SIGKILL)
            await process.wait()

    async def _watch_readiness(self) -> None:
        """Poll readiness and keep ``state`` current while the process runs."""
        async with httpx.AsyncClient(timeout=2.0) as client:
            while True:
                ready = await _is_ready(client, self.program.ready_url)
                self.state = ProcessState.READY if ready else ProcessState.STARTING
                self.failed_starts = 0 if ready else self.failed_starts
                await asyncio.sleep(POLL_READY_S if ready else POLL_STARTING_S)

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return


async def _start(program: ProgramSpec) -> asyncio.subprocess.Process:
    program.log.parent.mkdir(parents=True, exist_ok=True)
    with program.log.open("ab") as log:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *program.args,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **program.env},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches only this process, which stops its children in order
            preexec_fn=partial(end_with_parent, signal.SIGTERM),
        )


def send_signal(process: asyncio.subprocess.Process, number: int) -> None:
    """Send a signal; does nothing if the process has ended.

    ``process.send_signal`` would first poll whether the process has ended, and so take its exit status away from
    asyncio, which then reports 255.
    """
    with suppress(ProcessLookupError):
        os.kill(process.pid, number)


async def _is_ready(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(url)).is_success
    except httpx.HTTPError:
        return False
