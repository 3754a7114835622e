"""Training jobs as RayJobs of KubeRay: names, manifests and status. Pure."""

import copy
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from siad.contracts.ids import sha256_hex

RUN: Final = "siad.dev/run"  # annotation with the name of the run
# KubeRay adds suffixes to the names of pods, and refuses a RayJob over 47 characters.
PREFIX_CHARS: Final = 30
# Reasons of a container that waits for a person; "ContainerCreating" and the like pass by themselves.
_STUCK: Final = frozenset(
    (
        "CreateContainerConfigError",
        "CreateContainerError",
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "RunContainerError",
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobProgress:
    """What the status of a RayJob says."""

    is_done: bool
    succeeded: bool = False
    reason: str = ""  # why it failed
    cluster: str = ""  # name of its RayCluster; empty before there is one


def job_name(prefix: str, run: str) -> str:
    """Name the RayJob of a run, equally for every attempt."""
    return f"{prefix[:PREFIX_CHARS].rstrip('-')}-{sha256_hex(run.encode())[:10]}"


def make_job(template: Mapping[str, Any], *, name: str, run: str, owner: Mapping[str, Any] | None) -> dict[str, Any]:
    """Make the manifest of a run's RayJob.

    Args:
        template: the RayJob without name and entrypoint, from the chart.
        name: by ``job_name``.
        run: name of the run, whose spec is in the store.
        owner: reference to the object with which the job is deleted; None for none.
    """
    job: dict[str, Any] = copy.deepcopy(dict(template))
    metadata = job.setdefault("metadata", {})
    metadata["name"] = name
    metadata.setdefault("annotations", {})[RUN] = run
    if owner is not None:
        metadata["ownerReferences"] = [dict(owner)]
    job.setdefault("spec", {})["entrypoint"] = f"python -m services.trainer.job --run {shlex.quote(run)}"
    return job


def read_progress(job: Mapping[str, Any]) -> JobProgress:
    """Read the status of a RayJob."""
    status = job.get("status", {})
    deployment, outcome = status.get("jobDeploymentStatus", ""), status.get("jobStatus", "")
    cluster = status.get("rayClusterName", "")
    if outcome == "SUCCEEDED":
        return JobProgress(is_done=True, succeeded=True, cluster=cluster)
    if outcome in {"FAILED", "STOPPED"} or deployment in {"Failed", "ValidationFailed", "Complete"}:
        parts = (status.get("reason", ""), status.get("message", "").strip())
        reason = ": ".join(part for part in parts if part) or f"{deployment or outcome}, without a reason"
        return JobProgress(is_done=True, reason=reason, cluster=cluster)
    return JobProgress(is_done=False, cluster=cluster)


def describe_waiting(cluster: Mapping[str, Any], pods: Sequence[Mapping[str, Any]]) -> str:
    """Say what keeps the pods of a job from running.

    Empty where nothing does.

    Args:
        cluster: the RayCluster; its conditions name pods that could not be created, for example over a quota.
        pods: pods of the cluster.
    """
    for condition in cluster.get("status", {}).get("conditions", ()):
        if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
            return f"its pods can't be created: {condition.get('message', condition.get('reason', ''))}"
    for pod in pods:
        name, status = pod.get("metadata", {}).get("name", ""), pod.get("status", {})
        for condition in status.get("conditions", ()):
            if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
                return f"pod {name} has no node: {condition.get('message', condition.get('reason', ''))}"
        for container in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
            waiting = container.get("state", {}).get("waiting") or {}
            if waiting.get("reason") in _STUCK:
                text = waiting.get("message", "")
                return f"pod {name} does not start: {waiting['reason']}{f': {text}' if text else ''}"
    return ""
