"""`siad up`: the whole loop on this machine, in one terminal, until Ctrl-C."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import httpx
import typer
from rich.console import Console, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.text import Text

from siad.apps.cli import options
from siad.apps.cli.failures import reported_failures
from siad.apps.cli.library_log import log_libraries_to
from siad.apps.cli.tables import Cell, TableContent, table_for
from siad.apps.local.bus_choice import BusKind
from siad.apps.local.data_folder import locked
from siad.apps.local.doctor.settings_check import check_console_key
from siad.apps.local.machine import DATA, Machine
from siad.apps.local.processes import ProcessState
from siad.apps.local.run import run_machine, wait_ready
from siad.apps.local.sign_in import NOT_BUILT, make_link
from siad.runtime.access.settings import AccessSettings

console = Console(stderr=True)


def up(
    data: Annotated[
        Path,
        typer.Option(
            "--data",
            metavar="PATH",
            parser=options.parse_folder,
            help="Folder for all data and logs; a second start continues with it.",
        ),
    ] = DATA,
    bus: options.Bus = BusKind.AUTO,
) -> None:
    """Start broker, store, Ray and all stages on this machine.

    Ctrl-C stops them.

    To use servers of your own, set SIAD_BUS_BOOTSTRAP, SIAD_STORE_BUCKET or RAY_ADDRESS; they are never stopped.

    To choose a port, set SIAD_INGEST_HTTP_PORT, SIAD_CONSOLE_HTTP_PORT or that of another stage, or
    SIAD_LABELER_SCORER_PORT; it must be free. In place of a default port that is taken, another is used.
    """
    with reported_failures():
        machine = Machine(data.resolve(), bus=bus)
        machine.check_settings(_notify)  # refused settings leave no file behind
        with locked(data):
            log_libraries_to(data / "up.log")
            run_machine(machine, _until_stopped, notify=_notify)


async def _until_stopped(machine: Machine) -> None:
    await wait_ready(machine, _notify)
    _notify(f"logs in {machine.data / 'logs'}")
    _notify(await asyncio.to_thread(_page_of, machine.url("console")))
    for text in _warnings(os.environ):
        _notify(text)
    _notify("next: siad line put LINE --product PRODUCT, then siad send FILES --line LINE")
    if not console.is_terminal:
        await asyncio.Event().wait()
    with Live(_table(machine), console=console, refresh_per_second=2) as live:
        while True:
            await asyncio.sleep(0.5)
            live.update(_table(machine))


def _page_of(address: str) -> str:
    """Say where the console's page is, with a link that signs in."""
    if AccessSettings.load().is_required:
        return f"console: {address}. Sign in with an account; siad account add NAME --role admin makes the first"
    try:
        link = make_link(address)
    except (httpx.HTTPError, RuntimeError) as error:
        return f"console: no sign-in link ({error}); siad sign-in asks again"
    return f"review captures (this link works once): {link.url}" if link.is_page_built else NOT_BUILT


def _warnings(env: Mapping[str, str]) -> list[str]:
    """Say what works only in part with these settings."""
    return [f"warning: {one.what}: {one.effect}. Do: {one.remedy}" for one in check_console_key(env)]


def _table(machine: Machine) -> RenderableType:
    rows: list[list[Cell]] = [] if "broker" in machine.nodes else [["bus", machine.bus, "", "", ""]]
    for name, node in machine.nodes.items():
        state = Text("running", style="green") if node.alive else Text("ended", style="red")
        rows.append([name, state, "", "", ""])
    for name, stage in machine.stages.items():
        colour = "green" if stage.state is ProcessState.READY else "yellow"
        state = Text(stage.state, style=colour)
        rows.append([name, state, machine.url(name), str(stage.pid or ""), str(stage.restarts)])
    columns = ("part", "state", "address", "process", "restarts")
    title = "SIAD on this machine (Ctrl-C stops it)"
    return table_for(TableContent(columns=columns, rows=rows, title=title), console.width)


def _notify(text: str) -> None:
    console.print(f"[dim]siad[/] {escape(text)}", highlight=False, soft_wrap=True)
