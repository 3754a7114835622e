"""Run a whole machine around one piece of work: start, supervise, stop."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress

import httpx

from siad.apps.local.machine import Machine, Notify
from siad.apps.local.processes import ProcessState
from siad.apps.local.stage_status import read_missing

CHECK_NODES_S = 2.0  # between two checks whether the nodes run
STARTS_MAX = 3  # of a stage that ends each time before it is ready
RETRY_NODES_S = 10.0  # after a node that did not start again

Work = Callable[[Machine], Awaitable[None]]


def run_machine(machine: Machine, work: Work, *, notify: Notify) -> None:
    """Start everything, run ``work``, then stop everything, also after an error."""
    # the kernel ends a node with the thread that started it, so the thread that restarts nodes outlives the work
    with ThreadPoolExecutor(1, "nodes") as thread:
        try:
            machine.check(notify)
            machine.start_nodes(notify)
            machine.prepare_stages(notify)
            asyncio.run(_run_stages(machine, work, notify, thread))
        finally:
            wait({thread.submit(lambda: None)})  # a restart in progress ends first, so that its node is stopped too
            machine.stop_nodes(notify)


async def _run_stages(machine: Machine, work: Work, notify: Notify, thread: ThreadPoolExecutor) -> None:
    stages = asyncio.create_task(machine.run_stages())
    nodes = asyncio.create_task(keep_nodes(machine, notify, thread))
    done = asyncio.ensure_future(work(machine))
    _cancel_on_signals(done)
    try:
        await asyncio.wait({stages, nodes, done}, return_when=asyncio.FIRST_COMPLETED)
        for task in (stages, nodes, done):  # re-raise the error of the task that ended first
            if task.done():
                with suppress(asyncio.CancelledError):
                    task.result()
    finally:
        done.cancel()
        nodes.cancel()
        notify("stopping the stages")
        await machine.stop_stages()
        await stages


def _cancel_on_signals(work: asyncio.Future[None]) -> None:
    """Cancel the work on Ctrl-C and SIGTERM; an orderly stop follows."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, work.cancel)


async def keep_nodes(machine: Machine, notify: Notify, thread: ThreadPoolExecutor) -> None:
    """Restart nodes that ended, without end.

    Restarts run in ``thread``: one may take minutes, and stages are supervised meanwhile.
    """
    while True:
        await asyncio.sleep(CHECK_NODES_S)
        try:
            await asyncio.get_running_loop().run_in_executor(thread, machine.restart_nodes, notify)
        except (OSError, RuntimeError) as error:
            notify(f"{error}\ntrying again in {RETRY_NODES_S:g} s; Ctrl-C stops everything")
            await asyncio.sleep(RETRY_NODES_S)


async def wait_ready(machine: Machine, notify: Notify, *, timeout_s: float = 180.0) -> None:
    """Wait until every stage is ready.

    Raises:
        RuntimeError: a stage ended several times during its start; has the reason and the end of its log.
        TimeoutError: some stage was not ready in time; names what it waits for and its log.
    """
    ready: set[str] = set()
    try:
        async with asyncio.timeout(timeout_s):
            while len(ready) < len(machine.stages):
                for name, stage in machine.stages.items():
                    if stage.state is ProcessState.READY and name not in ready:
                        ready.add(name)
                        notify(f"{name}: ready at {machine.url(name)}")
                    if name not in ready and stage.failed_starts >= STARTS_MAX:
                        msg = f"{name} ended {STARTS_MAX} times during its start, see above; stopping everything"
                        raise RuntimeError(msg)
                await asyncio.sleep(0.2)
        machine.note_started()
    except TimeoutError as error:
        missing = {name: stage for name, stage in machine.stages.items() if name not in ready}
        with httpx.Client(timeout=2.0) as client:
            waits = [
                f"{name} {read_missing(client, stage.program.ready_url)}, log {stage.program.log}"
                for name, stage in missing.items()
            ]
        msg = f"not ready within {timeout_s:g} s, stopping everything: {'; '.join(waits)}"
        raise TimeoutError(msg) from error
