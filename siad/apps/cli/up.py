"""`siad up`: the whole loop on this machine, in one terminal, until Ctrl-C."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from siad.apps.local.machine import DATA, Machine, Say, locked
from siad.apps.local.processes import ProcessState
from siad.apps.local.which_bus import BusKind

REVIVE_S = 2.0  # how often fallen nodes are looked for
RETRY_S = 10.0  # after one that did not start again

console = Console(stderr=True)

DataOption = Annotated[
    Path, typer.Option("--data", help="Folder of everything that is kept; a second start carries on.")
]
BusOption = Annotated[
    BusKind,
    typer.Option(
        "--bus", help="What carries the events; auto: Kafka, or the embedded bus (no Java) where it can't be had."
    ),
]


def up(data: DataOption = DATA, bus: BusOption = BusKind.AUTO) -> None:
    """Start broker, store, Ray and all stages here; Ctrl-C stops what was started, and nothing else."""
    try:
        with locked(data):
            run_machine(Machine(data.resolve(), bus=bus), _until_stopped, say=_say)
    except (OSError, ValueError, RuntimeError) as error:
        console.print(f"[red]{escape(str(error))}", highlight=False)
        raise typer.Exit(1) from error


def run_machine(machine: Machine, work: Callable[[Machine], Awaitable[None]], *, say: Say) -> None:
    """Start everything, do ``work``, stop everything, whatever happens in between."""
    # the kernel ends a node with the thread that started it, so the one that starts nodes again outlives them
    with ThreadPoolExecutor(1, "nodes") as thread:
        try:
            machine.start_nodes(say)
            machine.prepare_stages()
            asyncio.run(_run_stages(machine, work, say, thread))
        finally:
            wait({thread.submit(lambda: None)})  # a node that is just being started again is to be stopped too
            machine.stop_nodes(say)


async def _run_stages(
    machine: Machine, work: Callable[[Machine], Awaitable[None]], say: Say, thread: ThreadPoolExecutor
) -> None:
    stages = asyncio.create_task(machine.run_stages())
    nodes = asyncio.create_task(keep_nodes(machine, say, thread))
    done = asyncio.ensure_future(work(machine))
    _stop_on_signals(done)
    try:
        await asyncio.wait({stages, nodes, done}, return_when=asyncio.FIRST_COMPLETED)
        for task in (stages, nodes, done):  # whoever ended first says why
            if task.done():
                with suppress(asyncio.CancelledError):
                    task.result()
    finally:
        done.cancel()
        nodes.cancel()
        say("stopping the stages")
        await machine.stop_stages()
        await stages


def _stop_on_signals(work: asyncio.Future[None]) -> None:
    """Ctrl-C and SIGTERM end the work; what follows is an orderly stop."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, work.cancel)


async def keep_nodes(machine: Machine, say: Say, thread: ThreadPoolExecutor) -> None:
    """Start fallen nodes again in ``thread``, for ever: it may take minutes, and stages may fall meanwhile."""
    while True:
        await asyncio.sleep(REVIVE_S)
        try:
            await asyncio.get_running_loop().run_in_executor(thread, machine.revive_nodes, say)
        except (OSError, RuntimeError) as error:
            say(f"{error}\ntrying again in {RETRY_S:g} s; Ctrl-C stops everything")
            await asyncio.sleep(RETRY_S)


async def wait_ready(machine: Machine, say: Say, *, timeout_s: float = 180.0) -> None:
    """Wait until every stage can do its work.

    Raises:
        TimeoutError: with the stages that are not there, and where their logs lie.
    """
    told: set[str] = set()
    try:
        async with asyncio.timeout(timeout_s):
            while len(told) < len(machine.stages):
                for name, stage in machine.stages.items():
                    if stage.state is ProcessState.READY and name not in told:
                        told.add(name)
                        say(f"{name}: ready at {machine.url(name)}")
                await asyncio.sleep(0.2)
    except TimeoutError as error:
        missing = {name: stage for name, stage in machine.stages.items() if name not in told}
        logs = ", ".join(f"{name} ({stage.state}, see {stage.program.log})" for name, stage in missing.items())
        msg = f"not ready after {timeout_s:g} s: {logs}"
        raise TimeoutError(msg) from error


async def _until_stopped(machine: Machine) -> None:
    await wait_ready(machine, _say)
    _say(f"logs in {machine.data / 'logs'}")
    _say("send images: siad line put LINE --product PRODUCT, then siad send FILES --line LINE")
    if not console.is_terminal:
        await asyncio.Event().wait()
    with Live(_table(machine), console=console, refresh_per_second=2) as live:
        while True:
            await asyncio.sleep(0.5)
            live.update(_table(machine))


def _table(machine: Machine) -> Table:
    table = Table(title="SIAD on this machine (Ctrl-C stops it)")
    for column in ("part", "state", "address", "process", "restarts"):
        table.add_column(column)
    if "broker" not in machine.nodes:
        table.add_row("bus", machine.bus, "", "", "")
    for name, node in machine.nodes.items():
        table.add_row(name, "[green]running" if node.alive else "[red]fallen", "", "", "")
    for name, stage in machine.stages.items():
        colour = "green" if stage.state is ProcessState.READY else "yellow"
        table.add_row(name, f"[{colour}]{stage.state}", machine.url(name), str(stage.pid or ""), str(stage.restarts))
    return table


def _say(text: str) -> None:
    console.print(f"[dim]siad[/] {text}", highlight=False)
