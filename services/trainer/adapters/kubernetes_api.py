"""Calls of the Kubernetes API server for training jobs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from siad.contracts.errors import ConflictError, DeniedError, TransientError

T = TypeVar("T")

GROUP: Final = {"group": "ray.io", "version": "v1"}
TIMEOUT_S: Final = 15.0
_TEXT_CHARS: Final = 500  # of the server's answer, in an error
_RAISE: Final = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class KubernetesRayJobs:
    """RayJobs of one namespace, with the token of the pod's service account."""

    custom: Any  # ``kubernetes.client.CustomObjectsApi``
    core: Any  # ``kubernetes.client.CoreV1Api``
    apps: Any  # ``kubernetes.client.AppsV1Api``
    namespace: str
    deployment: str  # of the trainer, which owns the jobs; empty for none

    @classmethod
    def of_pod(cls, namespace: str, deployment: str) -> "KubernetesRayJobs":
        """Open the API server of the cluster that this pod runs in.

        Raises:
            DeniedError: this process runs in no pod, or the pod has no token.
        """
        from kubernetes import client, config

        try:
            config.load_incluster_config()
        except config.ConfigException as error:
            msg = (
                f"no token of the API server: {error}; no job was started. Give the trainer's pod its service account, "
                "or leave SIAD_TRAINER_RAYJOB_TEMPLATE empty to run jobs in the trainer's pod"
            )
            raise DeniedError(msg) from error
        return cls(
            custom=client.CustomObjectsApi(),
            core=client.CoreV1Api(),
            apps=client.AppsV1Api(),
            namespace=namespace,
            deployment=deployment,
        )

    def get(self, name: str) -> Mapping[str, Any] | None:
        """Read a RayJob; None where there is none."""
        found: Mapping[str, Any] | None = self._custom("get", f"RayJob {name}", missing=None, name=name)
        return found

    def create(self, job: Mapping[str, Any]) -> None:
        """Create a RayJob."""
        self._custom("create", f"RayJob {job['metadata']['name']}", body=job)

    def delete(self, name: str) -> None:
        """Delete a RayJob, and its pods before it."""
        self._custom("delete", f"RayJob {name}", missing=None, name=name, propagation_policy="Foreground")

    def cluster(self, name: str) -> Mapping[str, Any]:
        """Read a RayCluster; empty where there is none."""
        found: Mapping[str, Any] = self._custom(
            "get", f"RayCluster {name}", missing={}, plural="rayclusters", name=name
        )
        return found

    def pods(self, cluster: str) -> Sequence[Mapping[str, Any]]:
        """List the pods of a RayCluster, as the API server writes them."""
        found = _call(
            f"list pods of RayCluster {cluster}",
            lambda: self.core.list_namespaced_pod(
                self.namespace, label_selector=f"ray.io/cluster={cluster}", _request_timeout=TIMEOUT_S
            ),
        )
        written: Sequence[Mapping[str, Any]] = self.core.api_client.sanitize_for_serialization(found)["items"]
        return written

    def owner(self) -> Mapping[str, Any] | None:
        """Return a reference to the trainer's Deployment."""
        if not self.deployment:
            return None
        found = _call(
            f"read Deployment {self.deployment}",
            lambda: self.apps.read_namespaced_deployment(self.deployment, self.namespace, _request_timeout=TIMEOUT_S),
        )
        return {"apiVersion": "apps/v1", "kind": "Deployment", "name": self.deployment, "uid": found.metadata.uid}

    def _custom(self, verb: str, what: str, *, missing: Any = _RAISE, plural: str = "rayjobs", **arguments: Any) -> Any:
        """Call the API of custom resources."""
        call = getattr(self.custom, f"{verb}_namespaced_custom_object")
        return _call(
            f"{verb} {what}",
            lambda: call(**GROUP, namespace=self.namespace, plural=plural, _request_timeout=TIMEOUT_S, **arguments),
            missing=missing,
        )


def _call(what: str, call: Callable[[], T], *, missing: Any = _RAISE) -> T:
    """Call the API server, and raise our errors.

    Args:
        what: the call in words.
        call: the call.
        missing: returned where the object does not exist; without it that is an error.
    """
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError

    try:
        return call()
    except HTTPError as error:
        msg = f"can't {what}: the API server does not answer ({type(error).__name__})"
        raise TransientError(msg) from error
    except ApiException as error:
        text = f"{error.status} {error.reason}: {str(error.body or '')[:_TEXT_CHARS]}"
        if error.status == 404 and missing is not _RAISE:
            result: T = missing
            return result
        if error.status == 409:
            msg = f"can't {what}: {text}"
            raise ConflictError(msg) from error
        if error.status == 404:
            msg = f"can't {what}: {text}. Install KubeRay, or set jobs.mode=embedded in the chart"
            raise DeniedError(msg) from error
        if error.status in {400, 401, 403, 422}:
            msg = f"can't {what}: {text}. Correct the quota, the role of the trainer or the template of its jobs"
            raise DeniedError(msg) from error
        msg = f"can't {what}: {text}"
        raise TransientError(msg) from error
