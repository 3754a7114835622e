"""Training jobs as child processes of the trainer, one at a time."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import structlog

from services.trainer.domain.job_end import JobEnd
from siad.contracts.errors import TransientError
from siad.runtime.parent_death import end_with_parent

log = structlog.get_logger()

COMMAND: Final = (sys.executable, "-m", "services.trainer.job")
STOP_S: Final = 5.0  # from SIGTERM to SIGKILL


@dataclass(slots=True)
class LocalJobs:
    """Runs ``python -m services.trainer.job --run <run>``, with the trainer's standard output and error.

    When the trainer dies, the kernel kills the job. The next trainer finds the run open and starts the job again, which
    resumes from its last checkpoint. A job over ``limit_s`` is ended, and counts as one that failed.
    """

    limit_s: float
    command: Sequence[str] = COMMAND
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait until no other job runs: two would slow each other down."""
        async with self._turn:
            yield

    async def is_running(self, run: str) -> bool:  # noqa: ARG002 - named by the port
        """False: a job ends with the trainer that started it."""
        return False

    async def run(self, run: str) -> JobEnd:
        """Run the job of ``run`` to its end.

        A job that is cancelled is ended first.

        Raises:
            TransientError: the process could not be started.
        """
        process = await self._start(run)
        log.info("job_started", run=run, pid=process.pid)
        over_limit = ""
        try:
            async with asyncio.timeout(self.limit_s):
                status = await process.wait()
        except TimeoutError:
            log.error("job_over_limit", run=run, limit_s=self.limit_s)
            over_limit = f"over its limit of {self.limit_s:.0f} s; its last checkpoint is kept"
            status = await _end(process)
        except asyncio.CancelledError:
            await asyncio.shield(_end(process))
            raise
        if status == 0:
            log.info("job_ended", run=run, exit_status=status)
            return JobEnd(status)
        reason = over_limit or _reason(status)
        log.error("job_ended", run=run, exit_status=status, reason=reason)
        return JobEnd(status, reason)

    async def end(self, run: str) -> None:
        """Do nothing: a job ends with the call of ``run``."""

    async def _start(self, run: str) -> asyncio.subprocess.Process:
        try:
            return await asyncio.create_subprocess_exec(
                *self.command,
                "--run",
                run,
                stdin=asyncio.subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C goes to the trainer only, which ends the job
                preexec_fn=partial(end_with_parent, signal.SIGKILL),
                env={**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")},
            )
        except OSError as error:  # no memory or no process left, or no such program
            msg = f"the job of run {run} could not be started: {error}"
            raise TransientError(msg) from error


def _reason(status: int) -> str:
    if status == -signal.SIGKILL:
        return "killed by SIGKILL: out of memory, or killed by hand; its last checkpoint is kept"
    if status < 0:
        return f"ended by signal {-status}; its last checkpoint is kept"
    return f"exit status {status}, see the job's log; its last checkpoint is kept"


async def _end(process: asyncio.subprocess.Process) -> int:
    """End the job's process group by SIGTERM, then by SIGKILL."""
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
        return  # it has ended
