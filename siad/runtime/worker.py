"""Process of one stage: HTTP server and background tasks.

Both run in one event loop.

Start: adapters are opened, the HTTP server answers, the preparations run (bucket, topics), then the tasks start.
A preparation that needs an unavailable store or broker is retried; readiness names what is missing meanwhile.
End: on a signal tasks drain while health is still answered, the server closes, and the exit status is 0. A task that
raises is a bug: it is logged once with its traceback, and the process ends at once with status 1.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import structlog
import uvicorn
from fastapi import FastAPI

from siad.contracts.errors import DeniedError, TransientError
from siad.runtime.access.settings import AccessSettings
from siad.runtime.backoff import Backoff, until_available
from siad.runtime.clock import SYSTEM_CLOCK, Clock
from siad.runtime.context import StageContext
from siad.runtime.health import Health
from siad.runtime.http import make_app
from siad.runtime.logs import configure_logs
from siad.runtime.otlp import configure_traces
from siad.runtime.settings import PREFIXES, StageSettings, without_effect

log = structlog.get_logger()

LAST_RESORT_S: Final = 5.0  # closing may hang on a thread; the process is ended after so long
READINESS_EVERY_S: Final = 15.0  # as siad_missing_info says
PREPARE_BACKOFF: Final = Backoff(schedule_s=(0.1, 0.2, 0.5, 1.0))
Background = Callable[[], Coroutine[Any, Any, None]]


@dataclass(slots=True, eq=False)
class StageProcess:
    """What a stage's ``app.py`` fills in."""

    name: str
    settings: StageSettings
    clock: Clock = SYSTEM_CLOCK
    access: AccessSettings = field(default_factory=AccessSettings)
    is_guarded: bool = False  # a guard is before the routes
    stop: asyncio.Event = field(default_factory=asyncio.Event)  # set it to stop gracefully
    health: Health = field(init=False)
    app: FastAPI = field(init=False)  # include the stage's routes here
    preparations: dict[str, Callable[[], Awaitable[None]]] = field(default_factory=dict)  # name -> before any task
    tasks: dict[str, Background] = field(default_factory=dict)  # name -> runs until ``stop``
    port: int | None = None  # where it listens, once it does

    def __post_init__(self) -> None:
        """Create the parts that every stage has."""
        self.health = Health(self.name, clock=self.clock, stuck_after_s=self.settings.stuck_after_s)
        self.app = make_app(stage=self.name, health=self.health)

    @property
    def context(self) -> StageContext:
        """What the stage's consumer and reconcilers need."""
        return StageContext(stage=self.name, health=self.health, stop=self.stop, clock=self.clock)

    async def unless_stopped(self, work: Coroutine[Any, Any, Any]) -> bool:
        """Wait for ``work``.

        Cancel it and return False where ``stop`` is set first.
        """
        working, stopping = asyncio.create_task(work), asyncio.create_task(self.stop.wait())
        try:
            await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()
            return not stopping.done()
        finally:
            working.cancel()
            stopping.cancel()


Assemble = Callable[[StageProcess], AbstractAsyncContextManager[None]]


def run_stage(name: str, settings: StageSettings, assemble: Assemble) -> None:
    """Run a stage until a signal or bug; end the process.

    Args:
        name: one of ``siad.contracts.topics.STAGES``.
        settings: address of the HTTP server, time to drain.
        assemble: opens adapters, adds routes, checks, preparations and tasks, and closes the adapters on exit.
    """
    configure_logs(name, level=settings.log_level)
    for setting in without_effect(os.environ):
        log.warning("setting_without_effect", name=setting, reason=f"settings begin with one of {', '.join(PREFIXES)}")
    traces = configure_traces(name)
    try:
        with contextlib.nullcontext() if traces is None else contextlib.closing(traces):
            asyncio.run(_run(StageProcess(name, settings), assemble))
    except KeyboardInterrupt:
        log.warning("stage_interrupted")
        _exit(130)
    except BaseException:  # the process ends here, whatever it was
        log.exception("stage_ended")
        _exit(1)
    log.info("stage_stopped")
    _exit(0)


async def _run(stage: StageProcess, assemble: Assemble) -> None:
    with _signals(stage):
        await serve(stage, assemble, on_end=_exit_later)


async def serve(stage: StageProcess, assemble: Assemble, *, on_end: Callable[[int], None] | None = None) -> None:
    """Run a stage until its ``stop``.

    Args:
        stage: its name and settings.
        assemble: see ``run_stage``.
        on_end: called with the exit status when only closing is left, which may hang.

    Raises:
        Exception: the bug that ended a task, as it was raised.
    """
    bug: BaseException | None = None
    with _listen(stage) as listener:
        async with assemble(stage):
            if stage.access.is_required and not stage.is_guarded:
                msg = f"stage {stage.name} has no guard before its routes, and SIAD_AUTH=required; nothing was started"
                raise RuntimeError(msg)
            try:
                await _run_tasks(stage, listener)
            except BaseExceptionGroup as failures:
                bug = failures.exceptions[0]
            if on_end is not None:
                on_end(0 if bug is None else 1)
    if bug is not None:
        raise bug


async def prepare(stage: StageProcess) -> None:
    """Run the stage's preparations side by side.

    Repeat each until its dependency is available. Readiness shows what is denied: only a person can correct it.
    """

    async def attempt(name: str, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except TransientError as error:
            stage.health.reports.pop(name, None)
            if isinstance(error, DeniedError):
                stage.health.reports[name] = str(error)
            raise
        stage.health.reports.pop(name, None)

    await asyncio.gather(
        *(
            until_available(partial(attempt, name, work), what=name, clock=stage.clock, backoff=PREPARE_BACKOFF)
            for name, work in stage.preparations.items()
        )
    )


async def _run_tasks(stage: StageProcess, listener: socket.socket) -> None:
    async with asyncio.TaskGroup() as group:
        server = _Server(_config(stage))
        serving = group.create_task(server.serve(sockets=[listener]), name="http")
        log.info("stage_started", port=stage.port, tasks=sorted(stage.tasks))
        prepared = asyncio.Event()
        running = [group.create_task(_prepare(stage, prepared), name="prepare")]
        for name, work in stage.tasks.items():
            running.append(group.create_task(_run_task(stage, name, work, prepared), name=name))
        measuring = group.create_task(_measure_readiness(stage), name="readiness")
        await stage.stop.wait()
        measuring.cancel()
        await _drain(stage, running)
        server.should_exit = True
        await serving


async def _prepare(stage: StageProcess, prepared: asyncio.Event) -> None:
    if await stage.unless_stopped(prepare(stage)):
        prepared.set()


async def _measure_readiness(stage: StageProcess) -> None:
    """Run the checks now and then, for the metrics."""
    while True:
        try:
            await stage.health.readiness_failures()
        except Exception:
            log.exception("readiness_unknown")
        await asyncio.sleep(READINESS_EVERY_S)


async def _run_task(stage: StageProcess, name: str, work: Background, prepared: asyncio.Event) -> None:
    if not await stage.unless_stopped(prepared.wait()):
        return
    await work()
    if not stage.stop.is_set():
        msg = f"task {name!r} of stage {stage.name} ended by itself; it must run until the stage stops"
        raise RuntimeError(msg)


async def _drain(stage: StageProcess, running: list[asyncio.Task[None]]) -> None:
    """Wait for the tasks.

    Cancel those that are not done after twice the drain bound.
    """
    log.info("stage_draining", seconds=stage.settings.drain_s)
    _, late = await asyncio.wait(running, timeout=2 * stage.settings.drain_s)
    for task in late:
        log.warning("drain_too_long", task=task.get_name(), seconds=2 * stage.settings.drain_s)
        task.cancel()


def _listen(stage: StageProcess) -> socket.socket:
    """Bind the HTTP port before anything starts.

    So a port in use is reported with its remedy.
    """
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
            f"stop the process that listens there, or set SIAD_{stage.name.upper()}_HTTP_PORT"
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
    """HTTP server that leaves signals to the stage."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


@contextlib.contextmanager
def _signals(stage: StageProcess) -> Iterator[None]:
    """Stop the stage on the first signal.

    End the process at once on the second.
    """
    loop = asyncio.get_running_loop()

    def on_signal(number: signal.Signals) -> None:
        if stage.stop.is_set():
            _exit(128 + number)
        log.info("stage_signalled", signal=number.name)
        stage.stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def _exit_later(status: int) -> None:
    """End the process after ``LAST_RESORT_S``, however long closing takes."""
    timer = threading.Timer(LAST_RESORT_S, os._exit, (status,))
    timer.daemon = True
    timer.start()


def _exit(status: int) -> None:
    """End the process without joining threads.

    One that hangs in a call must not keep it alive.
    """
    with contextlib.suppress(OSError):  # the disk of the log is full
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)


@contextlib.asynccontextmanager
async def no_adapters(_: StageProcess) -> AsyncIterator[None]:
    """Assemble a stage that has no adapters of its own."""
    yield
