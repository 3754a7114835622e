"""Helm values of three sizes of plants, written from the model. Pure."""

import math
from typing import Final

from benchmarks.scale_model import Costs, Plan, Plant, make_plan

HEAD: Final = """\
# {about}. Add the file of addresses:
#   helm install siad charts/siad -f values-plant.yaml -f values-{name}.yaml
# Written by `python -m benchmarks.scale --write`; costs: {measured}.
# {needs}
# Change it by another file of values after this one; the next --write would overwrite changes here.
"""
SMALL: Final = Plant(lines=4, per_s=5, megapixels=0.8, file_mb=0.5)
MEDIUM: Final = Plant(lines=30, per_s=20, megapixels=0.8, file_mb=0.5)
LARGE: Final = Plant(lines=100, per_s=60, megapixels=0.8, file_mb=0.5)
PLANTS: Final = {"small": SMALL, "medium": MEDIUM, "large": LARGE}
ABOUT: Final = {"small": "a few lines", "medium": "tens of lines", "large": "a hundred lines"}
INGEST_CORES: Final = {"small": 1, "medium": 1, "large": 3}  # threads that decode, in one pod
SCORER_REPLICAS: Final = {"small": 1, "medium": 1, "large": 2}  # in one labeler pod
BUSY: Final = 2 / 3
GIBIBYTE_MB: Final = 2**30 / 1e6


def render(name: str, costs: Costs) -> str:
    """Write the values file of a size."""
    plant = PLANTS[name]
    plan = make_plan(costs, plant)
    spare = 0 if name == "small" else 1
    ingest = _pods(plan.roles["ingest"].cores, INGEST_CORES[name]) + spare
    inference = _pods(plan.roles["inference"].cores, 1) + spare
    labeler = _pods(plan.roles["scorer"].cores, SCORER_REPLICAS[name]) + spare
    partitions = 2 * max(inference, labeler)
    head = HEAD.format(
        about=f"Up to {plant.per_s:g} captures a second at peak: {ABOUT[name]}",
        name=name,
        measured=costs.measured,
        needs=_needs(plan, plant),
    )
    parts = [head]
    if name != "small":
        parts.append(f"kafka:\n  settings:\n    partitions: {partitions}  # twice the pods that share them\n")
    parts.append("stages:\n" + _ingest(name, ingest, costs, plant))
    if name != "small":
        parts.append(_labeler(name, labeler, plan))
    parts.append(_inference(name, inference, plan))
    parts.append(_scorer(name, plan))
    parts.append(_jobs(name))
    return "".join(parts)


def _pods(cores: float, cores_per_pod: int) -> int:
    return max(1, math.ceil(cores / cores_per_pod / BUSY))


def _needs(plan: Plan, plant: Plant) -> str:
    first, limit = next(iter(plan.limits.items()))
    return (
        f"{plan.cores:.1f} cores in use for {plant.megapixels:g} megapixels of {plant.file_mb:g} MB; a third is spare. "
        f"First at its limit: {first}, at {limit:.0f}/s."
    )


def _ingest(name: str, pods: int, costs: Costs, plant: Plant) -> str:
    cores = INGEST_CORES[name]
    seconds = costs.roles["ingest"].seconds(plant.megapixels)
    settings = f"    settings: {{decode_threads: {cores}, uploads_max: 32}}\n" if cores > 1 else ""
    request = f'"{cores}"' if name != "small" else "250m"
    memory = {"small": "512Mi", "medium": "1Gi", "large": "2Gi"}[name]
    limit = {"small": 2, "medium": 3, "large": 4}[name]
    return (
        f"  ingest:\n    replicas: {pods}  # {plant.per_s:g}/s at {1000 * seconds:.0f} ms\n{settings}"
        f"    resources:\n      requests: {{cpu: {request}, memory: {memory}}}\n"
        f"      limits: {{memory: {limit}Gi}}  # two images decoded at once, 600 MB each at most\n"
    )


def _labeler(name: str, pods: int, plan: Plan) -> str:
    replicas = SCORER_REPLICAS[name]
    settings = f"    settings: {{replicas: {replicas}, max_in_flight: 32}}\n" if replicas > 1 else ""
    return (
        f"  labeler:\n    keda: {{enabled: true, minReplicas: {pods}, maxReplicas: {2 * pods}, "
        f"lagThreshold: {250 * replicas}}}  # {plan.roles['scorer'].cores:.1f} cores; may lag for minutes\n{settings}"
        "    resources:\n      requests: {cpu: 250m, memory: 512Mi}\n      limits: {memory: 2Gi}\n"
    )


def _inference(name: str, pods: int, plan: Plan) -> str:
    memory = math.ceil(plan.roles["inference"].memory_mb * 2 / 1048.576 * 4) / 4  # GiB
    request = {"small": memory, "medium": memory, "large": 2 * memory}[name]
    scale = (
        f"    replicas: {pods}\n"
        if name == "small"
        else f"    keda: {{enabled: true, minReplicas: {pods}, maxReplicas: {2 * pods}, lagThreshold: 20}}\n"
    )
    settings = "    settings: {models_max: 48}  # more of a hundred lines stay in memory\n" if name == "large" else ""
    return (
        f"  inference:\n{scale}    autoscaling: {{enabled: false}}  # {plan.roles['inference'].cores:.1f} cores\n"
        f"{settings}"
        f'    resources:\n      requests: {{cpu: "1", memory: {round(1024 * request)}Mi}}\n'
        f"      limits: {{memory: {2 if name == 'small' else 4}Gi}}\n"
    )


def _scorer(name: str, plan: Plan) -> str:
    cpus = SCORER_REPLICAS[name]
    memory = math.ceil(plan.roles["scorer"].memory_mb / GIBIBYTE_MB * cpus) + 1
    head = f"  cpus: {cpus}\n" if cpus > 1 else ""
    return (
        f'scorer:\n{head}  rayResources:\n    requests: {{cpu: "{cpus}", memory: {memory}Gi}}\n'
        f"    limits: {{memory: {2 * memory}Gi}}\n"
    )


def _jobs(name: str) -> str:
    if name == "small":
        return (
            'jobs:\n  rayResources:\n    requests: {cpu: "1", memory: 3Gi}  # a job had 5 GiB at most in a trial\n'
            "    limits: {memory: 6Gi}\n"
        )
    cpus = 2 if name == "medium" else 4
    head = f"  cpus: {cpus}\n" if name == "large" else ""
    return (
        f"jobs:\n  mode: rayjob  # a job has a pod of its own, so that a new trainer does not end it\n{head}"
        f'  rayResources:\n    requests: {{cpu: "{cpus}", memory: {2 * cpus}Gi}}\n'
        f"    limits: {{memory: {4 * cpus}Gi}}\n"
    )
