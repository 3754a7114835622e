"""Jobs as RayJobs: started once, joined after a restart, told in words when they wait, and removed at their end."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import urllib3
from kubernetes.client import ApiException

from services.trainer.adapters.kubernetes_api import KubernetesRayJobs
from services.trainer.adapters.ray_jobs import POLL_S, RayJobs
from services.trainer.domain.job_end import JobEnd
from services.trainer.domain.ray_jobs import RUN, describe_waiting, job_name, make_job, read_progress
from siad.contracts.errors import ConflictError, DeniedError, TransientError
from siad.runtime.testing.clock import FakeClock

TEMPLATE = {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": {"labels": {"a": "b"}}, "spec": {"ttl": 1}}
NAME_OF_RUN = "press-1.door.000001"
NAME = job_name("siad-job", NAME_OF_RUN)
OWNER = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "siad-trainer", "uid": "1"}
DONE = {"jobStatus": "SUCCEEDED", "jobDeploymentStatus": "Complete", "rayClusterName": "c"}
FAILED = {"jobStatus": "FAILED", "jobDeploymentStatus": "Failed", "reason": "AppFailed", "message": "exit status 1"}
RUNS = {"jobStatus": "RUNNING", "jobDeploymentStatus": "Running", "rayClusterName": "c"}


@dataclass
class Server:
    """An API server with one namespace: each read of a job moves it to its next status."""

    statuses: list[Any] = field(default_factory=lambda: [{}, RUNS, DONE])  # of the next job; an exception is raised
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    waiting: Sequence[Mapping[str, Any]] = ()
    created: int = 0
    deleted: int = 0

    def get(self, name: str) -> Mapping[str, Any] | None:
        if name not in self.jobs:
            return None
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if isinstance(status, Exception):
            raise status
        self.jobs[name]["status"] = status
        return self.jobs[name]

    def create(self, job: Mapping[str, Any]) -> None:
        name = job["metadata"]["name"]
        if name in self.jobs:
            raise ConflictError(name)
        self.created += 1
        self.jobs[name] = dict(job)

    def delete(self, name: str) -> None:
        self.deleted += name in self.jobs
        self.jobs.pop(name, None)

    def cluster(self, name: str) -> Mapping[str, Any]:
        return {}

    def pods(self, cluster: str) -> Sequence[Mapping[str, Any]]:
        return self.waiting

    def owner(self) -> Mapping[str, Any] | None:
        return OWNER


def jobs_on(server: Server, *, limit_s: float = 900.0) -> RayJobs:
    return RayJobs(api=server, template=TEMPLATE, prefix="siad-job", limit_s=limit_s, clock=FakeClock())


def events(capsys: pytest.CaptureFixture[str], name: str) -> list[str]:
    return [line for line in capsys.readouterr().out.splitlines() if name in line]


async def test_a_job_is_created_awaited_and_removed() -> None:
    server = Server()
    assert await jobs_on(server).run(NAME_OF_RUN) == JobEnd(0)
    assert (server.created, server.deleted, server.jobs) == (1, 1, {})


async def test_a_failed_job_says_why_and_is_removed(capsys: pytest.CaptureFixture[str]) -> None:
    server = Server(statuses=[RUNS, FAILED])
    assert await jobs_on(server).run(NAME_OF_RUN) == JobEnd(1, "AppFailed: exit status 1")
    [line] = events(capsys, "job_ended")
    assert "AppFailed: exit status 1" in line
    assert server.jobs == {}


async def test_a_trainer_that_stops_leaves_its_job_and_the_next_one_joins_it() -> None:
    server = Server(statuses=[RUNS])
    first = asyncio.create_task(jobs_on(server).run(NAME_OF_RUN))
    while not server.created:
        await asyncio.sleep(0.001)
    first.cancel()
    await asyncio.wait({first})
    assert list(server.jobs) == [NAME]
    assert await jobs_on(server).is_running(NAME_OF_RUN)
    server.statuses = [RUNS, DONE]
    assert await jobs_on(server).run(NAME_OF_RUN) == JobEnd(0)
    assert (server.created, server.jobs) == (1, {})


@pytest.mark.parametrize("status", [FAILED, DONE])
async def test_a_job_that_has_ended_goes_on_no_more(status: Mapping[str, Any]) -> None:
    server = Server(statuses=[status])
    assert not await jobs_on(server).is_running(NAME_OF_RUN)
    server.create(make_job(TEMPLATE, name=NAME, run=NAME_OF_RUN, owner=None))
    assert not await jobs_on(server).is_running(NAME_OF_RUN)


async def test_the_job_of_a_cancelled_run_is_deleted() -> None:
    server = Server(statuses=[RUNS])
    server.create(make_job(TEMPLATE, name=NAME, run=NAME_OF_RUN, owner=None))
    await jobs_on(server).end(NAME_OF_RUN)
    assert server.jobs == {}


async def test_a_job_of_an_earlier_attempt_makes_way() -> None:
    server = Server(statuses=[FAILED, RUNS, DONE])
    server.create(make_job(TEMPLATE, name=NAME, run=NAME_OF_RUN, owner=None))
    assert await jobs_on(server).run(NAME_OF_RUN) == JobEnd(0)
    assert (server.created, server.deleted) == (2, 2)


async def test_a_job_outlives_an_outage_of_the_api_server(capsys: pytest.CaptureFixture[str]) -> None:
    server = Server(statuses=[RUNS, TransientError("refused"), TransientError("refused"), DONE])
    assert await jobs_on(server).run(NAME_OF_RUN) == JobEnd(0)
    assert len(events(capsys, "job_waits")) == 1


async def test_a_job_over_its_limit_ends_with_what_it_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    stuck = {
        "metadata": {"name": "p"},
        "status": {"containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such"}}}]},
    }
    server = Server(statuses=[RUNS], waiting=[stuck])
    assert (await jobs_on(server, limit_s=3 * POLL_S).run(NAME_OF_RUN)).exit_status == 1
    text = capsys.readouterr().out
    assert "over its limit of 15 s; pod p does not start: ImagePullBackOff: no such" in text
    assert text.count("job_waits") == 1
    assert server.jobs == {}


async def test_a_job_that_is_deleted_while_it_runs_has_failed(capsys: pytest.CaptureFixture[str]) -> None:
    server = Server(statuses=[RUNS])
    running = asyncio.create_task(jobs_on(server).run(NAME_OF_RUN))
    while not server.created:
        await asyncio.sleep(0.001)
    server.jobs.clear()
    assert (await running).exit_status == 1
    assert "was deleted while it ran" in capsys.readouterr().out


def test_names_are_short_and_differ_by_run() -> None:
    names = {job_name("a-very-long-release-name-of-a-plant-in-the-north", f"l.p.{number}") for number in range(100)}
    assert len(names) == 100
    assert max(map(len, names)) <= 47


def test_the_manifest_keeps_the_template_and_names_run_and_owner() -> None:
    job = make_job(TEMPLATE, name=NAME, run=NAME_OF_RUN, owner=OWNER)
    assert job["metadata"] == {
        "labels": {"a": "b"},
        "name": NAME,
        "annotations": {RUN: NAME_OF_RUN},
        "ownerReferences": [OWNER],
    }
    assert job["spec"] == {"ttl": 1, "entrypoint": f"python -m services.trainer.job --run {NAME_OF_RUN}"}
    assert "name" not in TEMPLATE["metadata"]


@pytest.mark.parametrize(
    ("status", "is_done", "reason"),
    [
        ({}, False, ""),
        ({"jobDeploymentStatus": "Initializing"}, False, ""),
        (RUNS, False, ""),
        (DONE, True, ""),
        (FAILED, True, "AppFailed: exit status 1"),
        ({"jobStatus": "STOPPED"}, True, "STOPPED, without a reason"),
        ({"jobDeploymentStatus": "ValidationFailed", "message": "bad spec"}, True, "bad spec"),
    ],
)
def test_a_status_is_read(status: dict[str, str], is_done: bool, reason: str) -> None:
    progress = read_progress({"status": status})
    assert (progress.is_done, progress.reason) == (is_done, reason)


def test_what_keeps_pods_from_running_is_said() -> None:
    quota = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: memory"}
    assert "exceeded quota" in describe_waiting({"status": {"conditions": [quota]}}, [])
    full = {"type": "PodScheduled", "status": "False", "message": "0/1 nodes: insufficient memory"}
    assert "insufficient memory" in describe_waiting({}, [{"status": {"conditions": [full]}}])
    creating = {"status": {"containerStatuses": [{"state": {"waiting": {"reason": "ContainerCreating"}}}]}}
    assert describe_waiting({}, [creating]) == ""


@dataclass
class Raising:
    """An API that fails every call."""

    error: Exception

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*_: Any, **__: Any) -> Any:
            raise self.error

        return call


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (ApiException(status=403, reason="Forbidden"), DeniedError, "Correct the quota, the role"),
        (ApiException(status=422, reason="Invalid"), DeniedError, "the template of its jobs"),
        (ApiException(status=404, reason="Not Found"), DeniedError, "Install KubeRay"),
        (ApiException(status=409, reason="Conflict"), ConflictError, "can't create RayJob j"),
        (ApiException(status=500, reason="Internal"), TransientError, "500 Internal"),
        (urllib3.exceptions.MaxRetryError(None, "/"), TransientError, "does not answer"),  # type: ignore[arg-type]
    ],
)
def test_errors_of_the_api_server_are_ours(error: Exception, kind: type[Exception], text: str) -> None:
    api = Raising(error)
    jobs = KubernetesRayJobs(custom=api, core=api, apps=api, namespace="n", deployment="d")
    with pytest.raises(kind, match=text) as raised:
        jobs.create({"metadata": {"name": "j"}})
    assert type(raised.value) is kind


def test_a_missing_job_is_none() -> None:
    api = Raising(ApiException(status=404, reason="Not Found"))
    jobs = KubernetesRayJobs(custom=api, core=api, apps=api, namespace="n", deployment="d")
    assert jobs.get("j") is None
    jobs.delete("j")
