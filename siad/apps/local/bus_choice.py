"""Choice of the bus: yours, Apache Kafka or the embedded bus."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from siad.apps.local.kafka.jars import find_jars, why_unavailable
from siad.runtime.bus.settings import EMBEDDED

ADDRESS = "SIAD_BUS_BOOTSTRAP"
LIMITS = "it runs the same stages, but one process of each, all on this machine"


class BusKind(StrEnum):
    """Which bus transports the events."""

    AUTO = "auto"
    KAFKA = "kafka"
    EMBEDDED = "embedded"


@dataclass(frozen=True, slots=True, kw_only=True)
class BusChoice:
    """One bus and the reason for it."""

    kind: BusKind
    description: str
    address: str | None = None  # of a bus that `siad up` does not start


def choose_bus(
    requested: BusKind, data: Path, env: Mapping[str, str], *, why_no_kafka: Callable[[], str | None]
) -> BusChoice:
    """Choose a bus.

    A data folder keeps the bus of its first start.

    Args:
        requested: the option ``--bus``.
        data: data folder of the machine.
        env: the environment; an address in it takes precedence.
        why_no_kafka: returns why Kafka is unavailable, or None if it is available.

    Raises:
        ValueError: the option and the environment contradict each other.
        RuntimeError: an earlier start left events in Kafka, which is no longer available.
    """
    if address := env.get(ADDRESS):
        return _yours(requested, address)
    before = last_bus(data)
    unread = ""
    if before not in (None, requested):
        unread = f"; events from an earlier start in {data / before} are not read"
    if requested is BusKind.KAFKA:
        return BusChoice(kind=BusKind.KAFKA, description=f"Apache Kafka, as requested{unread}")
    if requested is BusKind.EMBEDDED:
        return _embedded(data, f"as requested{unread}; {LIMITS}")
    if before is BusKind.EMBEDDED:
        return _embedded(data, f"because {data} was started with it (--bus kafka switches); {LIMITS}")
    if (reason := why_no_kafka()) is None:
        return BusChoice(kind=BusKind.KAFKA, description="Apache Kafka")
    if before is BusKind.KAFKA:
        msg = (
            f"{data} was started with Apache Kafka, which is unavailable: {reason}. Nothing was started. Make Kafka "
            f"available, or continue without the events in {data / before}: --bus embedded"
        )
        raise RuntimeError(msg)
    return _embedded(data, f"because Kafka is unavailable: {reason}. {LIMITS[0].upper()}{LIMITS[1:]}")


def why_no_kafka_here(notify: Callable[[str], None]) -> str | None:
    """Why Kafka is unavailable on this machine, after trying to download it.

    None if it is available.
    """
    if reason := why_unavailable():
        return reason
    try:
        find_jars(notify)
    except RuntimeError as error:
        return str(error)
    return None


def last_bus(data: Path) -> BusKind | None:
    """The bus that last ran on the folder.

    None for a new folder.
    """
    kinds = [kind for kind in (BusKind.KAFKA, BusKind.EMBEDDED) if (data / kind).exists()]
    marks = {kind: _mark(data, kind) for kind in kinds}
    return max(kinds, key=lambda kind: marks[kind].stat().st_mtime_ns if marks[kind].exists() else 0, default=None)


def mark_in_use(data: Path, kind: BusKind) -> None:
    """Record that this bus ran last."""
    mark = _mark(data, kind)
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()


def _mark(data: Path, kind: BusKind) -> Path:
    return data / kind / "in-use"


def _yours(requested: BusKind, address: str) -> BusChoice:
    if requested is not BusKind.AUTO:
        msg = (
            f"--bus {requested} starts a bus of its own, but {ADDRESS}={address} names yours; nothing was started. "
            "Remove one of the two"
        )
        raise ValueError(msg)
    kind = BusKind.EMBEDDED if address.startswith(EMBEDDED) else BusKind.KAFKA
    return BusChoice(kind=kind, description=f"yours, at {address}", address=address)


def _embedded(data: Path, why: str) -> BusChoice:
    path = data / BusKind.EMBEDDED / "bus.sqlite"
    return BusChoice(
        kind=BusKind.EMBEDDED, description=f"the embedded bus in {path}, {why}", address=f"{EMBEDDED}{path}"
    )
