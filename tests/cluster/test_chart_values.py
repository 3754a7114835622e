"""The chart on a real API server: every set of values is accepted and restricted, every wrong value is refused."""

import uuid
from collections.abc import Iterator

import pytest
import yaml

from tests.fixtures.cluster import CHART, Cluster

pytestmark = pytest.mark.cluster

VALUES = ("values-plant.yaml", "values-quickstart.yaml")  # each a whole set
PARTITIONS = 6  # of a new topic, by default
SIZES = ("values-small.yaml", "values-medium.yaml", "values-large.yaml")  # beside values-plant.yaml
EVERYTHING = (
    *(
        "--set",
        "metrics.podMonitor=true,metrics.prometheusRule=true,metrics.dashboards=true",
        "--set",
        "stages.inference.gpus=1",
    ),
    *("--set", "jobs.mode=rayjob,scorer.mode=rayservice,scorer.workers=1"),
    *("--set", "stages.labeler.keda.enabled=true", "--set", "stages.ingest.autoscaling.enabled=true"),
    *("--set-json", 'networkPolicy.metricsFrom=[{"namespaceSelector":{"matchLabels":{"name":"monitoring"}}}]'),
)
SECURED = (
    *("--set", "kafka.security.protocol=SASL_SSL,kafka.security.user=siad,kafka.security.passwordSecret=kafka-user"),
    *("--set", "kafka.security.caSecret=kafka-ca,stages.labeler.kafkaSecurity.certSecret=labeler"),
    *("--set", "stages.trainer.keda.enabled=true,stages.trainer.kafkaSecurity.user=trainer"),
)
STRIMZI = ("--set", "kafka.bootstrap=,kafka.strimzi.cluster=plant,stages.trainer.keda.enabled=true", "--set")


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace in which pods must be restricted."""
    name = f"chart-{uuid.uuid4().hex[:8]}"
    cluster.must("kubectl", "create", "namespace", name)
    cluster.must("kubectl", "label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
    cluster.must("kubectl", "label", "namespace", name, "pod-security.kubernetes.io/warn=restricted")
    cluster.must(
        *("kubectl", "-n", name, "create", "secret", "generic", "siad-store"),
        *("--from-literal=access_key=a", "--from-literal=secret_key=b"),
    )
    yield name
    cluster.run("kubectl", "delete", "namespace", name, "--wait=false")


def test_helm_lints_the_chart(cluster: Cluster) -> None:
    for values in VALUES:
        cluster.must("helm", "lint", "--strict", str(CHART), "-f", str(CHART / values))


def test_every_file_of_values_is_tried() -> None:
    assert {path.name for path in CHART.glob("values-*.yaml")} == {*VALUES, *SIZES}


@pytest.mark.parametrize("size", SIZES)
def test_no_stage_scales_beyond_the_partitions_of_its_topic(cluster: Cluster, size: str) -> None:
    rendered = cluster.must(
        *("helm", "template", "t", str(CHART), "-f", str(CHART / "values-plant.yaml"), "-f", str(CHART / size))
    )
    objects = [one for one in yaml.safe_load_all(rendered) if one]
    (ingest,) = (one for one in objects if one["kind"] == "Deployment" and one["metadata"]["name"] == "t-siad-ingest")
    env = {one["name"]: one.get("value") for one in ingest["spec"]["template"]["spec"]["containers"][0]["env"]}
    scaled = [one["spec"]["maxReplicaCount"] for one in objects if one["kind"] == "ScaledObject"]
    assert max(scaled, default=1) <= int(env.get("SIAD_BUS_PARTITIONS", PARTITIONS))


def test_the_units_of_the_chart(cluster: Cluster) -> None:
    cluster.must("helm-unittest", "--strict", str(CHART))


@pytest.mark.parametrize(
    ("values", "extra"),
    [
        *(pytest.param(values, (), id=f"{values}-plain") for values in VALUES),
        *(pytest.param(values, EVERYTHING, id=f"{values}-everything") for values in VALUES),
        # the quickstart's Kafka speaks plain text
        *(pytest.param("values-plant.yaml", ("-f", str(CHART / size)), id=size) for size in SIZES),
        *(pytest.param(values, SECURED, id=f"{values}-secured") for values in VALUES if "quickstart" not in values),
        *(
            pytest.param("values-plant.yaml", (*STRIMZI, kind), id=f"strimzi-{kind[-3:]}")
            for kind in ("kafka.strimzi.authentication=scram-sha-512", "kafka.strimzi.authentication=tls")
        ),
    ],
)
def test_an_api_server_takes_every_object(
    cluster: Cluster, namespace: str, values: str, extra: tuple[str, ...]
) -> None:
    if "plant" in values and extra == EVERYTHING:
        extra = (*extra, "--set", "stages.inference.autoscaling.enabled=false")
    rendered = cluster.must("helm", "template", "t", str(CHART), "-n", namespace, "-f", str(CHART / values), *extra)
    applied = cluster.run(
        *("kubectl", "-n", namespace, "apply", "--dry-run=server", "--validate=strict", "-f", "-"), data=rendered
    )
    assert (applied.returncode, applied.stderr) == (0, "")
    assert "deployment.apps/t-siad-inference" in applied.stdout


def test_an_object_that_is_not_restricted_is_reported(cluster: Cluster, namespace: str) -> None:
    rendered = cluster.must(
        "helm", "template", "t", str(CHART), "-n", namespace, "-f", str(CHART / "values-quickstart.yaml")
    ).replace("runAsNonRoot: true", "runAsNonRoot: false", 1)
    applied = cluster.run("kubectl", "-n", namespace, "apply", "--dry-run=server", "-f", "-", data=rendered)
    assert "would violate PodSecurity" in applied.stderr


QUICKSTART = "quickstart.enabled=true"
ACCOUNT = "kafka.security.user=siad,kafka.security.passwordSecret=siad-store"
YOURS = "kafka.bootstrap=kafka:9092,store.bucket=inspection"


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ("", "kafka.bootstrap is empty, so there is no broker"),
        ("kafka.bootstrap=kafka:9092", "store.bucket is empty, so there is no store"),
        ("kafka.bootstrap=kafka", "'/kafka/bootstrap': 'kafka' does not match pattern"),
        (f"{QUICKSTART},kafka.bootstrap=kafka:9092", "the stages would use one broker"),
        (f"{QUICKSTART},store.endpointUrl=http://s3:9000", "the stages would use one store"),
        (f"{QUICKSTART},store.existingSecret=mine", "makes its own keys"),
        (f"{YOURS},store.existingSecret=gone", 'there is no Secret "gone" in namespace'),
        (f"{YOURS},store.existingSecret=siad-store,store.accessKeyName=id", 'has no key "id"'),
        (f"{QUICKSTART},kafka.security.protocol=SSL", "the quickstart's Kafka speaks plain text only"),
        (f"{YOURS},kafka.security.protocol=TLS", "'/kafka/security/protocol': value must be one of"),
        (f"{YOURS},kafka.security.protocol=SASL_SSL", "user or passwordSecret is empty"),
        (f"{YOURS},kafka.security.user=siad", "user and passwordSecret have no effect with protocol PLAINTEXT"),
        (f"{YOURS},kafka.security.caSecret=ca", "caSecret and certSecret have no effect with protocol PLAINTEXT"),
        (
            f"{YOURS},{ACCOUNT},kafka.security.protocol=SASL_PLAINTEXT,kafka.security.mechanism=PLAIN",
            "PLAIN would send the password in clear text",
        ),
        (f"{YOURS},kafka.security.protocol=SSL,kafka.security.caSecret=gone", 'there is no Secret "gone"'),
        (
            f"{YOURS},kafka.security.protocol=SSL,stages.labeler.kafkaSecurity.certSecret=siad-store",
            'the Secret "siad-store" in namespace',
        ),
        (f"{QUICKSTART},kafka.strimzi.cluster=plant", "the quickstart's Kafka has no operator"),
        (f"{YOURS},kafka.strimzi.authentication=SCRAM", "'/kafka/strimzi/authentication': value must be one of"),
        (f"{YOURS},kafka.settings.sasl_user=siad", "additional properties 'sasl_user' not allowed"),
        (f"{QUICKSTART},kafak.bootstrap=x", "additional properties 'kafak' not allowed"),
        (f"{QUICKSTART},stages.ingest.settings.uplods_max=3", "additional properties 'uplods_max' not allowed"),
        (f"{QUICKSTART},stages.ingest.settings.uploads_max=0", "minimum: got 0, want 1"),
        (f"{QUICKSTART},stages.console.replicas=2", "the console runs as one pod"),
        (f"{QUICKSTART},stages.ingest.keda.enabled=true", "ingest reads no topic"),
        (
            f"{QUICKSTART},stages.inference.keda.enabled=true,stages.inference.autoscaling.enabled=true",
            "autoscaling and keda are both enabled",
        ),
        (f"{QUICKSTART},image.pullPolicy=Sometimes", "'/image/pullPolicy': value must be one of"),
        (f"{QUICKSTART},stages.ingest.image.digest=abc", "does not match pattern '^(sha256:"),
    ],
)
def test_a_wrong_value_is_refused_before_anything_is_installed(
    cluster: Cluster, namespace: str, settings: str, told: str
) -> None:
    options = ("--set", settings) if settings else ()
    done = cluster.run("helm", "install", "t", str(CHART), "-n", namespace, "--dry-run=server", *options)
    assert done.returncode != 0
    assert told in done.stderr
