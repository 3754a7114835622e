"""Each verb of the trainer's Role is needed: without it, the adapter's own call is denied by the API server."""

import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest
import yaml
from kubernetes import client
from kubernetes import config as kubeconfig

from services.trainer.adapters.kubernetes_api import KubernetesRayJobs
from services.trainer.domain.ray_jobs import make_job
from siad.contracts.errors import DeniedError
from tests.fixtures.cluster import CHART, Cluster

pytestmark = pytest.mark.cluster

ACCOUNT: Final = "t-siad-trainer"
EFFECT_S: Final = 20.0  # of a changed Role, on a busy machine
Verb = tuple[str, str]  # resource, verb


@dataclass(frozen=True, slots=True)
class TrainerAccount:
    """The trainer's account in a namespace of its own, with the Role that the chart renders."""

    cluster: Cluster
    namespace: str
    role: dict[str, Any]
    template: dict[str, Any]

    def api(self) -> KubernetesRayJobs:
        """The trainer's adapter, with the account's token."""
        token = self.cluster.must("kubectl", "-n", self.namespace, "create", "token", ACCOUNT).strip()
        admin = client.Configuration()
        kubeconfig.load_kube_config(self.cluster.env["KUBECONFIG"], client_configuration=admin)
        own = client.Configuration(host=admin.host, api_key={"authorization": f"Bearer {token}"})
        own.ssl_ca_cert = admin.ssl_ca_cert
        connection = client.ApiClient(own)
        return KubernetesRayJobs(
            custom=client.CustomObjectsApi(connection),
            core=client.CoreV1Api(connection),
            apps=client.AppsV1Api(connection),
            namespace=self.namespace,
            deployment=ACCOUNT,
        )

    def grant(self, *, without: Verb | None = None) -> None:
        """Set the Role, with one verb taken away."""
        rules = [
            {**rule, "verbs": [verb for verb in rule["verbs"] if (rule["resources"][0], verb) != without]}
            for rule in self.role["rules"]
        ]
        left = {**self.role, "rules": [rule for rule in rules if rule["verbs"]]}
        self.cluster.must("kubectl", "-n", self.namespace, "apply", "-f", "-", data=yaml.safe_dump(left))

    def job(self) -> dict[str, Any]:
        """A RayJob as the trainer creates it; no operator runs it."""
        return dict(make_job(self.template, name=f"j-{uuid.uuid4().hex[:8]}", run="press-1/1", owner=None))


@pytest.fixture(scope="module")
def account(cluster: Cluster) -> Iterator[TrainerAccount]:
    """The account, its Role and binding, and the Deployment that owns jobs, without pods."""
    namespace = f"rbac-{uuid.uuid4().hex[:8]}"
    cluster.must("kubectl", "create", "namespace", namespace)
    rendered = cluster.must(
        *("helm", "template", "t", str(CHART), "-n", namespace, "-f", str(CHART / "values-quickstart.yaml")),
        *("--set", "jobs.mode=rayjob,stages.trainer.replicas=0"),
    )
    found = {
        one["kind"]: one
        for one in yaml.safe_load_all(rendered)
        if one and one["metadata"]["name"] in {ACCOUNT, "t-siad-rayjob"}
    }
    for kind in ("ServiceAccount", "RoleBinding", "Deployment"):
        cluster.must("kubectl", "-n", namespace, "apply", "-f", "-", data=yaml.safe_dump(found[kind]))
    yield TrainerAccount(cluster, namespace, found["Role"], yaml.safe_load(found["ConfigMap"]["data"]["rayjob.json"]))
    cluster.run("kubectl", "delete", "namespace", namespace, "--wait=false")


CALLS: Final[dict[Verb, Callable[[KubernetesRayJobs, dict[str, Any]], object]]] = {
    ("rayjobs", "get"): lambda api, _: api.get("absent"),
    ("rayjobs", "create"): lambda api, job: api.create(job),
    ("rayjobs", "delete"): lambda api, _: api.delete("absent"),
    ("rayclusters", "get"): lambda api, _: api.cluster("absent"),
    ("pods", "list"): lambda api, _: api.pods("absent"),
    ("deployments", "get"): lambda api, _: api.owner(),
}


def test_the_role_grants_what_is_called_and_nothing_else(account: TrainerAccount) -> None:
    granted = {(rule["resources"][0], verb) for rule in account.role["rules"] for verb in rule["verbs"]}
    assert granted == CALLS.keys()


@pytest.mark.parametrize("taken", [None, *CALLS], ids=lambda verb: "-".join(verb) if verb else "none")
def test_a_verb_that_is_taken_away_is_missed(account: TrainerAccount, taken: Verb | None) -> None:
    account.grant(without=taken)
    api = account.api()
    expected = {taken} if taken else set()
    until_s = time.monotonic() + EFFECT_S
    while (denied := denied_calls(api, account)).keys() != expected and time.monotonic() < until_s:
        time.sleep(0.5)
    assert denied.keys() == expected
    if taken:
        resource, verb = taken
        assert f'cannot {verb} resource \\"{resource}\\"' in denied[taken]
        assert "Correct the quota, the role of the trainer" in denied[taken]


def denied_calls(api: KubernetesRayJobs, account: TrainerAccount) -> dict[Verb, str]:
    """The calls that the API server denies, with what it says."""
    denied = {}
    for verb, call in CALLS.items():
        try:
            call(api, account.job())
        except DeniedError as error:
            denied[verb] = str(error)
    return denied
