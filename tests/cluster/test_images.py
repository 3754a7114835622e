"""Images that are built clean run as pods: restricted, read-only, ready, and they take images of every format."""

import base64
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.cluster.images import TAG, Builder, BuiltImage, why_no_builds
from tests.fixtures.cluster import CHART, Cluster

# images are built and loaded within the first test
pytestmark = [pytest.mark.cluster, pytest.mark.images, pytest.mark.timeout(3600)]

TARGETS = ("kafka", "store", "ingest", "inference")
LIMIT_MB = {"ingest": 250, "inference": 700}
FORMATS = (".png", ".jpg", ".bmp", ".tiff", ".webp")
QUICKSTART = (
    *("-f", str(CHART / "values-quickstart.yaml"), "--set", "quickstart.persistence.enabled=false"),
    *("--set", f"image.tag={TAG},quickstart.kafka.image=docker.io/siad/kafka:{TAG}"),
    *("--set", f"quickstart.store.image=docker.io/siad/store:{TAG},image.pullPolicy=Never"),
    *("--set-string", "auth=off"),  # keys come from the console, which does not run here
    *(f"--set=stages.{stage}.enabled=false" for stage in ("labeler", "console", "trainer")),
)
REACH = """
import socket, sys, time
def reaches(address):
    until_s = time.monotonic() + float(sys.argv[1])
    while time.monotonic() < until_s:  # a policy takes seconds to know a new pod
        try:
            socket.create_connection(address, timeout=8).close()
            return True
        except OSError:  # dropped or rejected
            time.sleep(1)
    return False
def address_of(host):
    for _ in range(30):
        try:
            return socket.gethostbyname(host)
        except socket.gaierror:  # names are resolved late on a busy node, and no answer says nothing of a policy
            time.sleep(2)
    sys.exit(f"{host} has no address")
for peer in sys.argv[2:]:
    host, port = peer.split(":")
    print(peer, "reached" if reaches((address_of(host), int(port))) else "shut")
"""
PEERS = ("t-siad-ingest:8400", "t-siad-store:8333", "t-siad-kafka:9092")
SEND = """
import base64, json, sys, urllib.request
def ask(method, path, body, kind):
    headers = {"Content-Type": kind}
    request = urllib.request.Request(f"http://127.0.0.1:8400{path}", data=body, headers=headers, method=method)
    return urllib.request.urlopen(request, timeout=60).status
images = json.load(sys.stdin)
found = {"line": ask("PUT", "/v1/lines/press-1", b'{"product": "door"}', "application/json")}
for name, data in images.items():
    found[name] = ask("POST", "/v1/lines/press-1/images", base64.b64decode(data), "application/octet-stream")
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> dict[str, BuiltImage]:
    """Every target, built and loaded into the nodes of the cluster.

    In SIAD_IMAGES_FOLDER, where it is set, archives of an earlier build are used as they are.
    """
    if (reason := why_no_builds()) is not None:
        pytest.fail(reason)
    kept = os.environ.get("SIAD_IMAGES_FOLDER")
    builder = Builder(Path(kept) if kept else tmp_path_factory.mktemp("images"))
    built = {target: (builder.built(target) if kept else None) or builder.build(target) for target in TARGETS}
    for image in built.values():
        cluster.script("load", str(image.archive), timeout_s=600)
    return built


@pytest.fixture(scope="module")
def release(cluster: Cluster, images: dict[str, BuiltImage]) -> Iterator[str]:
    """The namespace of a quickstart that has become ready, under Pod Security `restricted`."""
    name = f"images-{uuid.uuid4().hex[:8]}"
    cluster.must("kubectl", "create", "namespace", name)
    cluster.must("kubectl", "label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
    installed = cluster.run(
        *("helm", "install", "t", str(CHART), "-n", name, "--wait", "--timeout", "10m", *QUICKSTART), timeout_s=660
    )
    if installed.returncode != 0:
        seen = cluster.run("kubectl", "-n", name, "get", "pods,events").stdout
        pytest.fail(f"{installed.stderr}\n{seen[-4000:]}")
    yield name
    cluster.run("helm", "uninstall", "t", "-n", name)
    cluster.run("kubectl", "delete", "namespace", name, "--wait=false")


@pytest.mark.parametrize("stage", sorted(LIMIT_MB))
def test_an_image_is_as_small_as_the_documents_say(images: dict[str, BuiltImage], stage: str) -> None:
    assert images[stage].size_bytes / 1e6 <= LIMIT_MB[stage]


def test_helm_test_finds_every_stage_ready(cluster: Cluster, release: str) -> None:
    assert "ready" in cluster.must("helm", "test", "t", "-n", release, "--logs", timeout_s=300)


@pytest.mark.parametrize("stage", ["ingest", "inference"])
def test_a_container_is_no_root_and_writes_to_tmp_alone(cluster: Cluster, release: str, stage: str) -> None:
    inside = ("kubectl", "-n", release, "exec", f"deploy/t-siad-{stage}", "--")
    assert cluster.must(*inside, "id", "-u").strip() == "10001"
    refused = cluster.run(*inside, "bash", "-c", ": > /opt/siad/x")
    assert refused.returncode != 0
    assert "Read-only file system" in refused.stderr
    cluster.must(*inside, "bash", "-c", ": > /tmp/x")
    assert cluster.run(*inside, "python", "-c", "import torch").returncode != 0


@pytest.mark.parametrize("stage", ["ingest", "inference"])
def test_an_image_lists_what_is_in_it(cluster: Cluster, release: str, stage: str) -> None:
    inside = ("kubectl", "-n", release, "exec", f"deploy/t-siad-{stage}", "--")
    bill = json.loads(cluster.must(*inside, "cat", "/opt/venv/sbom.cdx.json"))
    named = {component["name"]: component["version"] for component in bill["components"]}
    pins = dict(
        line.split("==")
        for line in (CHART.parents[1] / "requirements/product.txt").read_text().splitlines()
        if "==" in line and ";" not in line
    )
    assert {"aiokafka", "imagecodecs", "numpy"} <= named.keys()
    assert {name: version for name, version in named.items() if pins.get(name) != version} == {}
    assert ("opencv-python-headless" in named) == (stage == "inference")


def test_images_of_every_format_are_accepted(cluster: Cluster, release: str, tmp_path: Path) -> None:
    pixels = np.random.default_rng(7).integers(0, 255, (64, 96, 3), np.uint8)
    coded = {name: cv2.imencode(name, pixels)[1].tobytes() for name in FORMATS}
    sent = json.dumps({name: base64.b64encode(data).decode() for name, data in coded.items()})
    answers = cluster.must(
        *("kubectl", "-n", release, "exec", "-i", "deploy/t-siad-ingest", "--", "python", "-c", SEND), data=sent
    )
    found = json.loads(answers)
    assert {name: found[name] for name in FORMATS} == dict.fromkeys(FORMATS, 202)


@pytest.mark.parametrize(
    ("labels", "patience_s", "seen"), [({"t-siad-client": "true"}, 90, "reached"), ({"app": "stranger"}, 20, "shut")]
)
def test_only_a_labelled_client_reaches_stages_store_and_broker(
    cluster: Cluster, release: str, labels: dict[str, str], patience_s: int, seen: str
) -> None:
    name = f"peer-{uuid.uuid4().hex[:8]}"
    container = {
        "name": "peer",
        "image": f"docker.io/siad/ingest:{TAG}",
        "imagePullPolicy": "Never",
        "command": ["python", "-c", REACH, str(patience_s), *PEERS],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    security = {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels},
        "spec": {"restartPolicy": "Never", "securityContext": security, "containers": [container]},
    }
    cluster.must("kubectl", "-n", release, "apply", "-f", "-", data=json.dumps(pod))
    ended = ("kubectl", "-n", release, "wait", "--for=jsonpath={.status.phase}=Succeeded", f"pod/{name}")
    cluster.must(*ended, "--timeout=180s", timeout_s=200)
    told = cluster.must("kubectl", "-n", release, "logs", name).splitlines()
    assert told == [f"{peer} {seen}" for peer in PEERS]
