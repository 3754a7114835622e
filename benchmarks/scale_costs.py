"""Costs of the model, from measured phases. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.scale_measure import Phase
from benchmarks.scale_model import Costs, RoleCost

MEASURED: Final = ("ingest", "inference", "console", "broker", "store")
SCORER_IDLE, SCORER_MB = 0.05, 1000.0  # with Ray's head; assumed
# the labeler asks the scorer, the trainer writes ledger files; assumed, since the measured machine has neither
ASSUMED: Final = {
    name: RoleCost(idle_cores=0.02, capture_s=0.01, megapixel_s=0.0, memory_mb=250.0) for name in ("labeler", "trainer")
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """Phases that the model is fitted to."""

    idle: Phase  # every line registered, nothing sent
    small: Phase  # captures of a small size
    large: Phase  # captures of a larger size
    file_bytes: float  # of a small image


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelCost:
    """CPU of a pseudo-mask, measured in one process, at both sizes."""

    small_s: float
    large_s: float


def fit_costs(measurement: Measurement, label: LabelCost, *, measured: str) -> Costs:
    """Separate idle cost, cost of a capture, and cost of its pixels.

    Args:
        measurement: phases on a machine that inspects.
        label: of the scorer.
        measured: date, machine and command.
    """
    idle, small, large = measurement.idle, measurement.small, measurement.large
    file_bytes = measurement.file_bytes
    span = large.megapixels - small.megapixels
    slope = max((label.large_s - label.small_s) / span, 0.0)
    roles = {
        "scorer": RoleCost(
            idle_cores=SCORER_IDLE,
            capture_s=round(max(label.small_s - slope * small.megapixels, 0.0), 4),
            megapixel_s=round(slope, 4),
            memory_mb=SCORER_MB,
        ),
        **ASSUMED,
    }
    for name in MEASURED:
        idle_cores = idle.cpu_s.get(name, 0.0) / idle.seconds
        at_small, at_large = (_capture_s(phase, name, idle_cores) for phase in (small, large))
        slope = max((at_large - at_small) / (large.megapixels - small.megapixels), 0.0)
        roles[name] = RoleCost(
            idle_cores=round(idle_cores, 4),
            capture_s=round(max(at_small - slope * small.megapixels, 0.0), 4),
            megapixel_s=round(slope, 4),
            memory_mb=small.memory_mb.get(name, 0.0),
        )
    per_capture = _requests(small, idle)
    return Costs(
        measured=measured,
        roles=roles,
        network_s=roles["inference"].capture_s,  # at most: what does not grow with pixels,
        puts=per_capture.get("PUT", 0.0),
        gets=per_capture.get("GET", 0.0),
        others=round(sum(value for name, value in per_capture.items() if name not in ("PUT", "GET")), 2),
        stored_bytes=round(max(small.sent_bytes / small.captures - file_bytes, 0.0)),
        read_images=round(small.received_bytes / small.captures / file_bytes, 2),
        broker_bytes=round(small.broker_bytes / small.captures),
    )


def costs_to_plain(costs: Costs) -> dict[str, Any]:
    """As JSON has it."""
    plain = {name: getattr(costs, name) for name in Costs.__dataclass_fields__}
    fields = RoleCost.__dataclass_fields__
    return plain | {"roles": {name: {one: getattr(role, one) for one in fields} for name, role in costs.roles.items()}}


def costs_of(plain: Mapping[str, Any]) -> Costs:
    """Read what ``costs_to_plain`` wrote."""
    return Costs(**{**plain, "roles": {name: RoleCost(**role) for name, role in plain["roles"].items()}})


def cores_error(costs: Costs, phases: Sequence[Phase]) -> list[tuple[Phase, float, float]]:
    """Compare each phase with the model: cores, and relative error."""
    found = []
    for phase in phases:
        rate = phase.captures / phase.seconds
        roles = [costs.roles[name] for name in MEASURED]
        cores = sum(role.idle_cores + rate * role.seconds(phase.megapixels) for role in roles)
        found.append((phase, cores, cores / phase.cores - 1))
    return found


def _capture_s(phase: Phase, name: str, idle_cores: float) -> float:
    return max(phase.cpu_s.get(name, 0.0) - idle_cores * phase.seconds, 0.0) / phase.captures


def _requests(phase: Phase, idle: Phase) -> dict[str, float]:
    """Requests of a capture, without those that come in any case."""
    return {
        name: round(max(count - idle.requests.get(name, 0) / idle.seconds * phase.seconds, 0.0) / phase.captures, 2)
        for name, count in phase.requests.items()
    }
