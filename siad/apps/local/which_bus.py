"""Which bus `siad up` and `siad demo` run on: yours by address, Apache Kafka, or the embedded one, without Java."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from siad.apps.local.kafka.jars import find_jars, why_unavailable
from siad.runtime.bus.settings import EMBEDDED

ADDRESS = "SIAD_BUS_BOOTSTRAP"
LOST = "the loop is the same; what is lost by it: each stage is one process, and all are on this machine"


class BusKind(StrEnum):
    """What carries the events."""

    AUTO = "auto"
    KAFKA = "kafka"
    EMBEDDED = "embedded"


@dataclass(frozen=True, slots=True, kw_only=True)
class BusChoice:
    """One bus, and how to say so."""

    kind: BusKind
    said: str
    address: str | None = None  # of a bus that needs no start


def choose_bus(
    wanted: BusKind, data: Path, env: Mapping[str, str], *, why_no_kafka: Callable[[], str | None]
) -> BusChoice:
    """Decide on a bus; a folder stays with the one it was begun on.

    Args:
        wanted: what the user asked for.
        data: folder of the machine.
        env: the environment; an address in it goes before all.
        why_no_kafka: why Kafka can't be had here; None where it can.

    Raises:
        ValueError: the user asked for two at once.
        RuntimeError: events of an earlier start wait in a Kafka that can't be had any more.
    """
    if address := env.get(ADDRESS):
        return _yours(wanted, address)
    before = begun_on(data)
    moved = f"; what waits in {data / before} from an earlier start is not read" if before not in (None, wanted) else ""
    if wanted is BusKind.KAFKA:
        return BusChoice(kind=BusKind.KAFKA, said=f"Apache Kafka, as asked{moved}")
    if wanted is BusKind.EMBEDDED:
        return _embedded(data, f"as asked{moved}; {LOST}")
    if before is BusKind.EMBEDDED:
        return _embedded(data, f"because {data} was begun on it (--bus kafka changes over); {LOST}")
    if (reason := why_no_kafka()) is None:
        return BusChoice(kind=BusKind.KAFKA, said="Apache Kafka")
    if before is BusKind.KAFKA:
        msg = (
            f"{data} was begun on Apache Kafka, which can't be had: {reason}. Nothing was started. Mend that, or go on "
            f"without what waits in {data / before} by --bus embedded"
        )
        raise RuntimeError(msg)
    return _embedded(data, f"because Kafka can't be had: {reason}. {LOST[0].upper()}{LOST[1:]}")


def why_no_kafka_here(say: Callable[[str], None]) -> str | None:
    """Why Kafka can't be had on this machine, also after trying to fetch it; None where it can."""
    if reason := why_unavailable():
        return reason
    try:
        find_jars(say)
    except RuntimeError as error:
        return str(error)
    return None


def begun_on(data: Path) -> BusKind | None:
    """The bus whose events lie in the folder; of two, the one that ran last."""
    kinds = [kind for kind in (BusKind.KAFKA, BusKind.EMBEDDED) if (data / kind).exists()]
    marks = {kind: _mark(data, kind) for kind in kinds}
    return max(kinds, key=lambda kind: marks[kind].stat().st_mtime_ns if marks[kind].exists() else 0, default=None)


def mark_begun(data: Path, kind: BusKind) -> None:
    """Note down that this bus ran last."""
    mark = _mark(data, kind)
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()


def _mark(data: Path, kind: BusKind) -> Path:
    return data / kind / "in-use"


def _yours(wanted: BusKind, address: str) -> BusChoice:
    if wanted is not BusKind.AUTO:
        msg = f"--bus {wanted} asks for a bus of its own, but {ADDRESS}={address} names yours; drop one of the two"
        raise ValueError(msg)
    kind = BusKind.EMBEDDED if address.startswith(EMBEDDED) else BusKind.KAFKA
    return BusChoice(kind=kind, said=f"yours, at {address}", address=address)


def _embedded(data: Path, why: str) -> BusChoice:
    path = data / BusKind.EMBEDDED / "bus.sqlite"
    return BusChoice(kind=BusKind.EMBEDDED, said=f"the embedded bus in {path}, {why}", address=f"{EMBEDDED}{path}")
