"""One stage, one process: an HTTP server and background tasks in one loop, from start to a graceful end.

A signal ends it in good order with status 0: tasks drain while health is still answered, then the server closes. A
task that raises is a bug: it is logged once, with its traceback, and the process ends with status 1 at once.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

import structlog
import uvicorn
from fastapi import FastAPI

from siad.runtime.clock import SYSTEM_CLOCK, Clock
from siad.runtime.health import Health
from siad.runtime.http import make_app
from siad.runtime.logs import configure_logs
from siad.runtime.settings import StageSettings

log = structlog.get_logger()

LAST_RESORT_S = 5.0  # closing may hang on a thread; the process ends all the same
Background = Callable[[], Coroutine[Any, Any, None]]


@dataclass(slots=True, eq=False)
class StageProcess:
    """What a stage's ``app.py`` fills in."""

    name: str
    settings: StageSettings
    clock: Clock = SYSTEM_CLOCK
    stop: asyncio.Event = field(default_factory=asyncio.Event)  # set: end in good order
    health: Health = field(init=False)
    app: FastAPI = field(init=False)  # include the stage's routes here
    tasks: dict[str, Background] = field(default_factory=dict)  # name -> what runs until ``stop``
    port: int | None = None  # where it listens, once it does

    def __post_init__(self) -> None:
        """Make the parts that every stage has."""
        self.health = Health(self.name, clock=self.clock, stuck_after_s=self.settings.stuck_after_s)
        self.app = make_app(stage=self.name, health=self.health)


Assemble = Callable[[StageProcess], AbstractAsyncContextManager[None]]


def run_stage(name: str, settings: StageSettings, assemble: Assemble) -> None:
    """Run a stage until a signal or a bug; ends the process.

    Args:
        name: one of ``siad.contracts.topics.STAGES``.
        settings: where it listens, how long it drains.
        assemble: opens adapters, adds routes, checks and tasks to the stage, and closes the adapters on leaving.
    """
    configure_logs(name, level=settings.log_level)
    try:
        asyncio.run(_run(StageProcess(name, settings), assemble))
    except KeyboardInterrupt:
        log.warning("stage_interrupted")
        _leave(130)
    except BaseException:  # the process ends here, whatever it was
        log.exception("stage_ended")
        _leave(1)
    log.info("stage_stopped")
    _leave(0)


async def _run(stage: StageProcess, assemble: Assemble) -> None:
    with _signals(stage):
        await serve(stage, assemble, on_end=_last_resort)


async def serve(stage: StageProcess, assemble: Assemble, *, on_end: Callable[[int], None] | None = None) -> None:
    """Run a stage until its ``stop``.

    Args:
        stage: its name and settings.
        assemble: see ``run_stage``.
        on_end: called with the exit status when all that is left is closing, which may hang.

    Raises:
        Exception: the bug that ended a task, as it was raised.
    """
    bug: BaseException | None = None
    with _listen(stage) as listener:
        async with assemble(stage):
            try:
                await _run_tasks(stage, listener)
            except BaseExceptionGroup as failures:
                bug = failures.exceptions[0]
            if on_end is not None:
                on_end(0 if bug is None else 1)
    if bug is not None:
        raise bug


async def _run_tasks(stage: StageProcess, listener: socket.socket) -> None:
    async with asyncio.TaskGroup() as group:
        server = _Server(_config(stage))
        serving = group.create_task(server.serve(sockets=[listener]), name="http")
        log.info("stage_started", port=stage.port, tasks=sorted(stage.tasks))
        running = [group.create_task(_until_stop(stage, name, work), name=name) for name, work in stage.tasks.items()]
        await stage.stop.wait()
        await _drain(stage, running)
        server.should_exit = True
        await serving


async def _until_stop(stage: StageProcess, name: str, work: Background) -> None:
    await work()
    if not stage.stop.is_set():
        msg = f"task {name!r} of stage {stage.name} ended by itself; it should run until it is told to stop"
        raise RuntimeError(msg)


async def _drain(stage: StageProcess, running: list[asyncio.Task[None]]) -> None:
    """Wait for the tasks; what is not done after twice the drain bound is cancelled."""
    log.info("stage_draining", seconds=stage.settings.drain_s)
    if not running:
        return
    _, late = await asyncio.wait(running, timeout=2 * stage.settings.drain_s)
    for task in late:
        log.warning("drain_too_long", task=task.get_name(), seconds=2 * stage.settings.drain_s)
        task.cancel()


def _listen(stage: StageProcess) -> socket.socket:
    """Bind before anything is started, so that a taken port is told in plain words."""
    settings = stage.settings
    family = socket.AF_INET6 if ":" in settings.http_host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.http_host, settings.http_port))
    except OSError as error:
        listener.close()
        msg = (
            f"stage {stage.name} can't listen on {settings.http_host}:{settings.http_port}: {error.strerror}; "
            f"stop what listens there, or set SIAD_{stage.name.upper()}_HTTP_PORT"
        )
        raise OSError(error.errno, msg) from error
    stage.port = listener.getsockname()[1]
    return listener


def _config(stage: StageProcess) -> uvicorn.Config:
    return uvicorn.Config(
        stage.app,
        log_config=None,  # its loggers reach the root handler, which writes JSON
        access_log=False,  # metrics count requests
        lifespan="off",
        timeout_graceful_shutdown=max(1, int(stage.settings.drain_s)),
    )


class _Server(uvicorn.Server):
    """A server that leaves the signals to the stage."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


@contextlib.contextmanager
def _signals(stage: StageProcess) -> Iterator[None]:
    """The first signal asks to stop, the second one insists."""
    loop = asyncio.get_running_loop()

    def on_signal(number: signal.Signals) -> None:
        if stage.stop.is_set():
            _leave(128 + number)
        log.info("stage_signalled", signal=number.name)
        stage.stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def _last_resort(status: int) -> None:
    """End the process soon, however long its closing takes."""
    timer = threading.Timer(LAST_RESORT_S, os._exit, (status,))
    timer.daemon = True
    timer.start()


def _leave(status: int) -> None:
    """End the process without waiting for threads: one that hangs in a call must not keep it alive."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


@contextlib.asynccontextmanager
async def nothing_more(_: StageProcess) -> AsyncIterator[None]:
    """A stage with no adapters of its own."""
    yield
