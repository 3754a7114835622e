"""Model of a plant, from the measured cost of a capture. Pure.

Cores of a role are its idle cores, and captures a second times seconds of CPU a capture; the seconds grow with the size
of the image. Pods are sized with a third to spare. Limits say up to which rate each part of the plan would do.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

STAGES: Final = ("ingest", "inference", "labeler", "scorer", "console", "trainer")
LABELLING: Final = frozenset({"labeler", "scorer", "trainer"})  # they see only captures that are labelled
BUSY: Final = 2 / 3  # share of its cores that a pod uses at the planned rate
PARTITIONS_MIN: Final = 6
REPLICATION: Final = 3
DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleCost:
    """Measured cost of one role."""

    idle_cores: float
    capture_s: float  # CPU of a capture at 0 pixels
    megapixel_s: float  # CPU of a capture, for each million pixels
    memory_mb: float

    def seconds(self, megapixels: float) -> float:
        """CPU of one capture."""
        return self.capture_s + self.megapixel_s * megapixels


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Costs of one measurement, by role."""

    measured: str  # date, machine and command
    roles: Mapping[str, RoleCost]  # STAGES, broker, store
    network_s: float  # CPU of the network alone, in inference, at most
    puts: float  # requests to the store, a capture
    gets: float
    others: float
    stored_bytes: float  # a capture, beside its image
    read_images: float  # times that an image is read from the store
    broker_bytes: float  # a capture, in one replica of the topics


@dataclass(frozen=True, slots=True, kw_only=True)
class Plant:
    """What is to be inspected."""

    lines: int
    per_s: float  # captures of all lines at peak
    megapixels: float
    file_mb: float  # of an image, 10^6 bytes
    labelled_share: float = 1.0  # of captures; 1 until segmenters serve
    cores_per_pod: float = 1.0
    gpus: int = 0  # that run the networks of inference
    gpu_speed: float = 30.0  # times a core; not measured here
    kept_days: float = 30.0
    busy_share: float = 0.35  # mean rate over a day, as a share of the peak
    broker_mb_s: float = 50.0  # that one broker's disk and network take
    store_mb_s: float = 120.0  # that the store takes, in and out: 1 Gbit/s
    store_requests_s: float = 3000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RolePlan:
    """Pods of one role."""

    cores: float  # in use at peak
    pods: int
    memory_mb: float  # of a pod


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a plant needs."""

    roles: Mapping[str, RolePlan]
    partitions: int
    brokers: int
    broker_mb_s: float  # all replicas
    store_mb_s: float  # in and out
    puts_s: float
    gets_s: float
    stored_tb: float  # after kept_days
    gpus: int  # that the networks need
    limits: Mapping[str, float]  # captures a second that each part takes, the lowest first

    @property
    def cores(self) -> float:
        """Cores in use at peak."""
        return sum(role.cores for role in self.roles.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """Prices of one offer on one day, as the user gives them."""

    source: str  # whose, and of which date
    core_month: float
    gpu_month: float
    tb_month: float
    million_puts: float
    million_gets: float


def make_plan(costs: Costs, plant: Plant) -> Plan:
    """Compute what a plant needs.

    Raises:
        ValueError: no rate, or no image.
    """
    if plant.per_s <= 0 or plant.megapixels <= 0 or plant.lines < 1:
        asked = f"{plant.lines} lines with {plant.per_s:g} captures/s of {plant.megapixels:g} megapixels"
        msg = f"a plant of {asked} can't be planned; give at least one line, and a rate and a size over 0"
        raise ValueError(msg)
    seconds = {name: _seconds(costs, plant, name) for name in (*STAGES, "broker", "store")}
    roles = {name: _role(costs.roles[name], plant, name, seconds[name]) for name in seconds}
    partitions = max(PARTITIONS_MIN, *(2 * roles[name].pods for name in ("inference", "labeler")))
    broker_mb_s = plant.per_s * costs.broker_bytes * REPLICATION / 1e6
    brokers = 1 if plant.per_s <= 5 else max(REPLICATION, math.ceil(broker_mb_s / plant.broker_mb_s / BUSY))
    traffic_mb = plant.file_mb * (1 + costs.read_images) + costs.stored_bytes / 1e6
    requests = costs.puts + costs.gets + costs.others
    mean_per_s = plant.per_s * plant.busy_share
    limits = {name: roles[name].pods * plant.cores_per_pod / seconds[name] for name in STAGES if seconds[name] > 0} | {
        "partitions (one core each)": partitions / seconds["inference"],
        "broker (one core each)": brokers / max(seconds["broker"], 1e-9),
        "broker's disks": plant.broker_mb_s * brokers / (costs.broker_bytes * REPLICATION / 1e6),
        "store's network": plant.store_mb_s / traffic_mb,
        "store's requests": plant.store_requests_s / requests,
    }
    return Plan(
        roles=roles,
        partitions=partitions,
        brokers=brokers,
        broker_mb_s=broker_mb_s,
        store_mb_s=plant.per_s * traffic_mb,
        puts_s=plant.per_s * costs.puts,
        gets_s=plant.per_s * (costs.gets + costs.others),
        stored_tb=mean_per_s * DAY_S * plant.kept_days * (plant.file_mb + costs.stored_bytes / 1e6) / 1e6,
        gpus=0 if not plant.gpus else math.ceil(plant.per_s * costs.network_s / plant.gpu_speed / BUSY),
        limits=dict(sorted(limits.items(), key=lambda one: one[1])),
    )


def money_of(plan: Plan, plant: Plant, prices: Prices) -> dict[str, float]:
    """Price of a month of 30 days, by what it is for."""
    millions = plant.busy_share * DAY_S * 30 / 1e6
    return {
        "cores": sum(role.pods for role in plan.roles.values()) * plant.cores_per_pod * prices.core_month,
        "GPUs": plan.gpus * prices.gpu_month,
        "storage": plan.stored_tb * prices.tb_month,
        "requests": plan.puts_s * millions * prices.million_puts + plan.gets_s * millions * prices.million_gets,
    }


def _seconds(costs: Costs, plant: Plant, name: str) -> float:
    seconds = costs.roles[name].seconds(plant.megapixels)
    if name in LABELLING:
        return seconds * plant.labelled_share
    if name == "inference" and plant.gpus:
        return max(seconds - costs.network_s, 0.0)
    return seconds


def _role(cost: RoleCost, plant: Plant, name: str, seconds: float) -> RolePlan:
    cores = cost.idle_cores + plant.per_s * seconds
    pods = max(1, math.ceil(cores / plant.cores_per_pod / BUSY))
    if name in ("console", "trainer", "store"):
        pods = 1  # one works, whatever the rate; a store is a service of its own
    return RolePlan(cores=cores, pods=pods, memory_mb=cost.memory_mb)
