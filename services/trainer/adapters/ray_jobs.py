"""Training jobs as RayJobs of KubeRay, through the API server.

A job runs on without the trainer: a trainer that stops leaves it, and the next one finds it by its name and waits for
its end. Status is polled: a watch would need two more verbs, and has to be begun again whenever it breaks.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import structlog

from services.trainer.domain.job_end import JobEnd
from services.trainer.domain.ray_jobs import JobProgress, describe_waiting, job_name, make_job, read_progress
from siad.contracts.errors import ConflictError, TransientError
from siad.runtime.clock import SYSTEM_CLOCK, Clock

log = structlog.get_logger()

POLL_S: Final = 5.0
GONE_S: Final = 120.0  # longest time that the deletion of a job takes


class RayJobApi(Protocol):
    """The calls of the API server that jobs need.

    Each raises ``TransientError`` where the server can't be reached, and ``DeniedError`` where it refuses.
    """

    def get(self, name: str) -> Mapping[str, Any] | None:
        """Read a RayJob; None where there is none."""
        ...

    def create(self, job: Mapping[str, Any]) -> None:
        """Create a RayJob.

        Raises:
            ConflictError: there is one of that name.
        """
        ...

    def delete(self, name: str) -> None:
        """Delete a RayJob with its pods, if there is one."""
        ...

    def cluster(self, name: str) -> Mapping[str, Any]:
        """Read a RayCluster; empty where there is none."""
        ...

    def pods(self, cluster: str) -> Sequence[Mapping[str, Any]]:
        """List the pods of a RayCluster."""
        ...

    def owner(self) -> Mapping[str, Any] | None:
        """Return a reference to the object that owns the jobs."""
        ...


@dataclass(slots=True, kw_only=True)
class RayJobs:
    """Runs each job as a RayJob, one at a time."""

    api: RayJobApi
    template: Mapping[str, Any]  # a RayJob without name and entrypoint
    prefix: str  # begins the names of the jobs
    limit_s: float  # longest time of a job; then it is ended
    clock: Clock = SYSTEM_CLOCK
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait until no other job of this trainer runs."""
        async with self._turn:
            yield

    async def is_running(self, run: str) -> bool:
        """Whether the RayJob of ``run`` goes on."""
        job = await asyncio.to_thread(self.api.get, job_name(self.prefix, run))
        return job is not None and _goes_on(job)

    async def run(self, run: str) -> JobEnd:
        """Run the job of ``run`` to its end.

        One that runs already is joined.

        Raises:
            TransientError: the API server is unavailable.
            DeniedError: it refuses; the text names what is missing.
        """
        name = job_name(self.prefix, run)
        await self._start(name, run)
        progress = await self._wait(name, run)
        if progress.succeeded:
            log.info("job_ended", run=run, job=name, exit_status=0)
        else:
            log.error("job_ended", run=run, job=name, exit_status=1, reason=progress.reason)
        await asyncio.to_thread(self.api.delete, name)
        return JobEnd(0) if progress.succeeded else JobEnd(1, progress.reason)

    async def end(self, run: str) -> None:
        """Delete the job of a run that was cancelled."""
        await asyncio.to_thread(self.api.delete, job_name(self.prefix, run))

    async def _start(self, name: str, run: str) -> None:
        job = await asyncio.to_thread(self.api.get, name)
        if job is not None and _goes_on(job):
            log.info("job_joined", run=run, job=name)
            return
        if job is not None:  # of an earlier attempt, or of one that is being deleted
            await self._delete(name)
        owner = await asyncio.to_thread(self.api.owner)
        try:
            await asyncio.to_thread(self.api.create, make_job(self.template, name=name, run=run, owner=owner))
        except ConflictError:
            log.info("job_joined", run=run, job=name)  # another trainer created it a moment ago
        else:
            log.info("job_started", run=run, job=name)

    async def _delete(self, name: str) -> None:
        await asyncio.to_thread(self.api.delete, name)
        until_s = self.clock.monotonic() + GONE_S
        while await asyncio.to_thread(self.api.get, name) is not None:
            if self.clock.monotonic() > until_s:
                msg = f"RayJob {name} of an earlier attempt is still being deleted; the job is started when it is gone"
                raise TransientError(msg)
            await self.clock.sleep(POLL_S)

    async def _wait(self, name: str, run: str) -> JobProgress:
        told = ""
        until_s = self.clock.monotonic() + self.limit_s
        while True:
            try:
                job = await asyncio.to_thread(self.api.get, name)
                if job is None:
                    return JobProgress(is_done=True, reason=f"RayJob {name} was deleted while it ran")
                progress = read_progress(job)
                if progress.is_done:
                    return progress
                waiting = await self._why_waiting(progress)
            except TransientError as error:  # the job runs on without the API server
                waiting = f"the API server does not answer: {error}"
            if waiting and waiting != told:
                log.warning("job_waits", run=run, job=name, reason=waiting)
                told = waiting
            if self.clock.monotonic() > until_s:
                reason = f"over its limit of {self.limit_s:.0f} s{f'; {told}' if told else ''}"
                return JobProgress(is_done=True, reason=reason)
            await self.clock.sleep(POLL_S)

    async def _why_waiting(self, progress: JobProgress) -> str:
        if not progress.cluster:
            return ""
        cluster = await asyncio.to_thread(self.api.cluster, progress.cluster)
        return describe_waiting(cluster, await asyncio.to_thread(self.api.pods, progress.cluster))


def _goes_on(job: Mapping[str, Any]) -> bool:
    return not read_progress(job).is_done and "deletionTimestamp" not in job.get("metadata", {})
