"""Stages as processes, for tests on real servers: start, observe, kill by pid."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from siad.apps.local.ports import free_ports
from siad.runtime.parent_death import end_with_parent

READY_S = 120.0  # importing torch takes ten seconds on a busy machine
STOP_S = 20.0
TAIL_LINES = 40


@dataclass(slots=True)
class StageProcess:
    """One ``python -m`` process with an HTTP server; a restart keeps its port."""

    name: str
    module: str
    env: Mapping[str, str]
    port: int
    log: Path
    ready_path: str = "/readyz"
    starts: int = 0
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Address of its HTTP server."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it; its output is appended to the log."""
        assert not self.alive, f"{self.name} runs already"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SIAD_")}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self.module],
                env={**kept, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", **self.env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=partial(end_with_parent, signal.SIGTERM),  # noqa: PLW1509 - one system call, takes no lock
            )
        self.starts += 1

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Exit status; None while it runs, and before its first start."""
        return self._process.poll() if self._process is not None else None

    async def wait_ready(self, timeout_s: float = READY_S) -> None:
        """Wait until it is ready; fail with the end of its log."""
        await wait_for(self.is_ready, timeout_s, f"{self.name} to be ready", on_fail=self.tail)

    async def is_ready(self) -> bool:
        """Whether it is ready; a process that has ended is an error."""
        self.require_alive()
        try:
            return (await self.get(self.ready_path)).status_code == 200
        except httpx.TransportError:
            return False

    def require_alive(self) -> None:
        """Fail with the end of its log if it has ended unexpectedly."""
        if not self.alive:
            code = self._process.returncode if self._process else None
            msg = f"{self.name} ended with {code}; {self.log} ends:\n{self.tail()}"
            raise AssertionError(msg)

    async def get(self, path: str) -> httpx.Response:
        """Send a GET request to it."""
        async with httpx.AsyncClient(base_url=self.url, timeout=10) as http:
            return await http.get(path)

    def kill(self) -> None:
        """Kill it with SIGKILL, as a power failure would."""
        assert self._process is not None
        assert self.alive, f"{self.name} was to be killed and has ended by itself; its log ends:\n{self.tail()}"
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    async def stop(self) -> int | None:
        """Stop it in order; returns its exit status."""
        if self._process is None:
            return None
        if self.alive:
            self._process.terminate()
            try:
                await wait_for(self._has_ended, STOP_S, f"{self.name} to stop", on_fail=self.tail)
            except AssertionError:
                self._process.kill()
                raise
        return self._process.returncode

    async def _has_ended(self) -> bool:
        return not self.alive

    async def metrics(self) -> dict[str, float]:
        """Its metrics: each series by name and labels, as in the text."""
        lines = (await self.get("/metrics")).text.splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Log entries with this event, of all its starts."""
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if line.startswith("{")]
        return [entry for entry in map(_parse, lines) if entry.get("event") == event]

    def tail(self) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-TAIL_LINES:]) if self.log.exists() else ""


@dataclass(slots=True)
class Plant:
    """Stages that run together on one broker and one store."""

    folder: Path
    env: Mapping[str, str]  # SIAD_BUS_*, SIAD_STORE_*, RAY_ADDRESS
    stages: dict[str, StageProcess] = field(default_factory=dict)

    def add(self, name: str, **env: str) -> StageProcess:
        """Describe a stage; ``env`` are its own settings, without the prefix ``SIAD_<NAME>_``."""
        (port,) = free_ports(1)
        named = {f"SIAD_{name.upper()}_{key.upper()}": value for key, value in {"http_port": str(port), **env}.items()}
        return self.add_process(
            StageProcess(
                name=name,
                module=f"services.{name}",
                env={**self.env, **named},
                port=port,
                log=self.folder / f"{name}.log",
            )
        )

    def add_process(self, stage: StageProcess) -> StageProcess:
        """Add a process that is described already."""
        self.stages[stage.name] = stage
        return stage

    def __getitem__(self, name: str) -> StageProcess:
        """One of the stages."""
        return self.stages[name]

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Plant"]:
        """Start all inside the block, and stop all afterwards."""
        try:
            for stage in self.stages.values():
                stage.start()
            for stage in self.stages.values():
                await stage.wait_ready()
            yield self
        finally:
            await asyncio.gather(*(stage.stop() for stage in self.stages.values()))


async def wait_for(
    is_true: Callable[[], Awaitable[bool]], timeout_s: float, what: str, *, on_fail: Callable[[], str] = str
) -> None:
    """Poll a condition; fail after ``timeout_s`` with its description."""
    end_s = time.monotonic() + timeout_s
    while not await is_true():
        if time.monotonic() > end_s:
            msg = f"waited {timeout_s:g} s for {what}\n{on_fail()}"
            raise AssertionError(msg)
        await asyncio.sleep(0.1)


def _parse(line: str) -> dict[str, Any]:
    try:
        entry: dict[str, Any] = json.loads(line)
    except ValueError:  # cut by a kill
        return {}
    return entry
