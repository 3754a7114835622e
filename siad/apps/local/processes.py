"""Programs that run beside this one: started, watched, restarted when they fall, stopped in order."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import httpx

from siad.apps.local.child import die_with_parent

BACKOFF_S = (0.5, 1.0, 2.0, 5.0, 10.0)  # the last repeats
CALM_S = 60.0  # up for so long, a program's earlier falls are forgotten
STOP_S = 20.0  # a stage drains what it has in hand; past that it is killed


class ProcessState(StrEnum):
    """Where a program stands."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramSpec:
    """What to start, and how to know that it can do its work."""

    name: str
    args: tuple[str, ...]
    env: Mapping[str, str]
    ready_url: str
    log: Path


@dataclass(slots=True)
class SupervisedProgram:
    """One program that is kept running until it is told to stop."""

    program: ProgramSpec
    state: ProcessState = ProcessState.WAITING
    restarts: int = 0
    pid: int | None = None
    last_exit: int | None = None
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _process: asyncio.subprocess.Process | None = None

    async def run(self) -> None:
        """Start, wait, start again; return once stopped."""
        falls = 0
        while not self._stopping.is_set():
            self.state = ProcessState.STARTING
            started = time.monotonic()
            self._process = await _start(self.program)
            self.pid = self._process.pid
            watcher = asyncio.create_task(self._watch())
            self.last_exit = await self._process.wait()
            watcher.cancel()
            self.pid = None
            if self._stopping.is_set():
                break
            falls = 0 if time.monotonic() - started > CALM_S else falls
            self.state = ProcessState.RESTARTING
            self.restarts += 1
            await self._pause(BACKOFF_S[min(falls, len(BACKOFF_S) - 1)])
            falls += 1
        self.state = ProcessState.STOPPED

    async def stop(self) -> None:
        """Ask it to end; kill it where it does not."""
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

    async def _watch(self) -> None:
        """Ask for readiness until it is there, and go on asking, so that the status is true."""
        async with httpx.AsyncClient(timeout=2.0) as client:
            while True:
                ready = await _answers(client, self.program.ready_url)
                self.state = ProcessState.READY if ready else ProcessState.STARTING
                await asyncio.sleep(2.0 if ready else 0.3)

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
            start_new_session=True,  # Ctrl-C is ours to pass on, in order
            preexec_fn=die_with_parent,
        )


def send_signal(process: asyncio.subprocess.Process, number: int) -> None:
    """Send a signal; harmless to a program that has ended.

    Not by ``process.send_signal``, which first asks whether it has ended, and so takes the exit status away from
    asyncio, which then reports 255.
    """
    with suppress(ProcessLookupError):
        os.kill(process.pid, number)


async def _answers(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(url)).is_success
    except httpx.HTTPError:
        return False
