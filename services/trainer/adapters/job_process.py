"""Training jobs as processes of this machine: one at a time, in a group of their own, ended with this process."""

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog

log = structlog.get_logger()

COMMAND = (sys.executable, "-m", "services.trainer.job")
STOP_S = 5.0  # from asking a job to end to killing it
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


@dataclass(slots=True)
class LocalJobs:
    """Runs ``python -m services.trainer.job --run <run>``; its output goes where ours goes.

    If this process dies, the kernel ends the job; whoever comes next finds the run open and starts the job again,
    which goes on from the last checkpoint. A job that outlives its limit is killed, and counts like one that fell.
    """

    limit_s: float
    command: Sequence[str] = COMMAND
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait until no other job is at work: two would only slow each other down."""
        async with self._turn:
            yield

    async def run(self, run: str) -> int:
        """Run the job of ``run`` to its end and give its exit status; cancelled, end it first."""
        process = await asyncio.create_subprocess_exec(
            *self.command,
            "--run",
            run,
            stdin=asyncio.subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C is ours to pass on
            preexec_fn=_die_with_parent,
            env={**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")},
        )
        log.info("job_started", run=run, pid=process.pid)
        try:
            async with asyncio.timeout(self.limit_s):
                code = await process.wait()
        except TimeoutError:
            log.error("job_over_limit", run=run, limit_s=self.limit_s)
            code = await _end(process)
        except asyncio.CancelledError:
            await asyncio.shield(_end(process))
            raise
        (log.info if code == 0 else log.error)("job_ended", run=run, exit_status=code)
        return code


async def _end(process: asyncio.subprocess.Process) -> int:
    """Ask the job's whole group to end, then kill it."""
    _signal(process.pid, signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP_S):
            return await process.wait()
    except TimeoutError:
        _signal(process.pid, signal.SIGKILL)
        return await process.wait()


def _signal(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return  # it is over already


def _die_with_parent() -> None:
    """Run in the child: if we are killed with -9, the kernel ends it too."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
