"""Disks of this machine, and the address of Ray."""

import os
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from siad.apps.local.data_folder import FREE_BYTES_MIN
from siad.apps.local.doctor.findings import Finding, fault, ok, unknown, warning

LOW_BYTES: Final = 4 * FREE_BYTES_MIN
FILES_MIN: Final = 1000  # that can still be created
CONNECT_S: Final = 3.0
FREE: Final = "free space: old logs and data folders first; retention deletes images (docs/operate.md)"


def check_disks(folders: Iterable[Path], lines: str) -> Iterator[Finding]:
    """Check space and writing on each disk, once.

    Args:
        folders: on the disks that SIAD writes.
        lines: names of the lines, for the effect.
    """
    effect = f"broker and store can't write: images of {lines} are refused, and stages wait"
    seen: set[int] = set()
    for folder in folders:
        if not folder.is_dir() or folder.stat().st_dev in seen:
            continue
        seen.add(folder.stat().st_dev)
        state = os.statvfs(folder)
        free_bytes = state.f_bavail * state.f_frsize
        text = f"{folder} has {free_bytes / 2**20:.0f} MB free"
        if refusal := _try_to_write(folder):
            yield fault("disk", f"{folder} can't be written: {refusal}", effect=effect, remedy=FREE)
        elif free_bytes < FREE_BYTES_MIN:
            needed = f"{text}; under {FREE_BYTES_MIN / 2**20:.0f} MB SIAD does not start"
            yield fault("disk", needed, effect=effect, remedy=FREE)
        elif state.f_files and state.f_favail < FILES_MIN:
            yield fault("disk", f"{folder} has room for {state.f_favail} files", effect=effect, remedy=FREE)
        elif free_bytes < LOW_BYTES:
            yield warning("disk", text, effect=f"soon: {effect}", remedy=FREE)
        else:
            yield ok("disk", text)


def check_ray(address: str) -> Finding:
    """Open a connection to the Ray head.

    Args:
        address: host:port; empty where it is not known.
    """
    host, _, port = address.rpartition(":")
    if not (host and port.isdecimal()):
        return unknown(
            "ray", f"no address of a Ray head ({address or 'RAY_ADDRESS is not set'})", remedy="set RAY_ADDRESS"
        )
    try:
        with socket.create_connection((host, int(port)), timeout=CONNECT_S):
            return ok("ray", f"the head at {address} accepts connections")
    except OSError as error:
        return fault(
            "ray",
            f"the head at {address} does not answer: {error.strerror or error}",
            effect="inspection goes on; no pseudo-mask is drawn, no teacher fitted, no segmenter trained",
            remedy="start Ray; `siad up` does it by itself within a minute. Scorer and jobs resume by themselves",
        )


def _try_to_write(folder: Path) -> str:
    """Say why a small file can't be written; empty if it can."""
    probe = folder / f".siad-doctor-{os.getpid()}"
    try:
        with probe.open("wb") as file:
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.strerror or str(error)
    finally:
        probe.unlink(missing_ok=True)
    return ""
