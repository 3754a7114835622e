"""Examination of everything, also while everything is down."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from siad.apps.credentials import credentials
from siad.apps.local.connection import bus_settings, connection_settings
from siad.apps.local.data_folder import describe_start, is_starting
from siad.apps.local.doctor.bus_check import check_bus
from siad.apps.local.doctor.findings import Finding, describe_lines, fault, has_fault, unknown
from siad.apps.local.doctor.machine_check import check_disks, check_ray
from siad.apps.local.doctor.settings_check import check_environment
from siad.apps.local.doctor.stage_check import QUICK_S, check_stages
from siad.apps.local.doctor.store_check import check_store
from siad.apps.local.doctor.weights_check import check_weights, compare_with_served, read_pointers
from siad.apps.local.machine import read_state
from siad.apps.local.stage_status import read_lines, read_metrics, serving_weights
from siad.contracts.errors import DeniedError, MissingError, TransientError
from siad.contracts.keys import line_pointers_prefix, name_of
from siad.contracts.pointer import Pointer
from siad.runtime.blobs.port import Blobs
from siad.runtime.blobs.s3 import S3Blobs
from siad.runtime.blobs.settings import StoreSettings
from siad.runtime.bus.open import open_bus
from siad.runtime.bus.settings import EMBEDDED, BusSettings, path_of

ANSWER_S: Final = 5.0  # of a stage, or of one request to the broker

Notify = Callable[[str], None]  # is told what is examined now


@dataclass(frozen=True, slots=True)
class Plant:
    """Addresses of a plant; what is not known is empty or None."""

    stages: Mapping[str, str]
    bus: BusSettings | None
    blobs: Blobs | None
    ray: str
    absence: tuple[Finding, ...]  # why something is not known


def examine(data: Path, env: Mapping[str, str], notify: Notify) -> list[Finding]:
    """Examine settings, servers, stages, weights and disks.

    Args:
        data: folder of the `siad up`.
        env: the environment; names the plant where no `siad up` runs.
        notify: is told what is examined now.

    Returns:
        A finding for each thing, in the order of the flow. Nothing is raised: what does not answer is a finding.
    """
    notify("settings")
    found = check_start(data) + check_environment(data, env)
    plant = find_plant(data, env)
    found += plant.absence
    lines = describe_lines(_line_names(plant))
    notify("disks")
    folders = [data, Path.cwd()]
    if plant.bus is not None and plant.bus.bootstrap.startswith(EMBEDDED):
        folders.append(path_of(plant.bus.bootstrap).parent)
    found += check_disks(folders, lines)
    if plant.bus is not None:
        notify("broker and topics")
        found += asyncio.run(check_bus(open_bus(plant.bus), plant.bus.bootstrap, lines))
    has_store = plant.blobs is not None
    if plant.blobs is not None:
        notify("store")
        told = list(check_store(plant.blobs, lines))
        has_store = not has_fault(told)
        found += told
    found.append(check_ray(plant.ray))
    with httpx.Client(timeout=ANSWER_S, headers=credentials()) as client:
        notify("stages")
        found += check_stages(client, plant.stages, lines)
        if plant.blobs is not None and not has_store:
            found.append(unknown("weights", "not read, since the store has a fault", remedy="mend the store first"))
        elif plant.blobs is not None:
            notify("weights")
            found += _examine_weights(plant.blobs, client, plant.stages.get("inference"))
    return found


def check_start(data: Path) -> list[Finding]:
    """Report a `siad up` that is still starting."""
    if not is_starting(data):
        return []
    effect = "nothing is accepted, judged or learned by stages that are not ready yet"
    remedy = "wait; other faults below may end with the start"
    return [fault("stages", describe_start(data), effect=effect, remedy=remedy)]


def find_plant(data: Path, env: Mapping[str, str]) -> Plant:
    """Find the addresses of a `siad up`, else those that the environment names."""
    absence: list[Finding] = []
    bus: BusSettings | None = None
    blobs: Blobs | None = None
    try:
        settings = connection_settings(data, env=env)
        bus = bus_settings(data, env=env).model_copy(update={"request_timeout_s": ANSWER_S})
        store = StoreSettings.of({name: text for name, text in settings.items() if name.startswith("SIAD_STORE_")})
        blobs = S3Blobs(store.model_copy(update={"connect_timeout_s": ANSWER_S / 2, "read_timeout_s": ANSWER_S}))
    except FileNotFoundError:
        start = "wait until `siad up` has started" if is_starting(data) else "start `siad up`"
        remedy = f"{start}, or set SIAD_BUS_* and SIAD_STORE_* as the stages have them"
        absence.append(unknown("broker", "its address is not known, nor that of the store", remedy=remedy))
    except (OSError, ValueError) as error:
        absence.append(
            unknown("broker", f"broker and store were not opened: {_first_line(error)}", remedy="correct it")
        )
    stages: Mapping[str, str] = {}
    try:
        stages = read_state(data)
    except FileNotFoundError as error:
        if not is_starting(data):
            absence.insert(0, _no_stages(str(error), is_elsewhere=bus is not None))
    except (OSError, ValueError) as error:
        absence.insert(0, _no_stages(str(error), is_elsewhere=bus is not None))
    ray = env.get("RAY_ADDRESS") or stages.get("ray", "")
    return Plant(stages=stages, bus=bus, blobs=blobs, ray=ray, absence=tuple(absence))


def _no_stages(text: str, *, is_elsewhere: bool) -> Finding:
    """Report that the addresses of the stages are not known.

    Args:
        text: why.
        is_elsewhere: broker and store are known, so that the plant may run on other machines.
    """
    if is_elsewhere:
        return unknown(
            "stages", f"not examined: {text}", remedy="ask /readyz of each stage, or run this where they run"
        )
    remedy = "start `siad up`, or name its folder with --data"
    return fault("stages", text, effect="nothing is accepted, judged or learned on this machine", remedy=remedy)


def _line_names(plant: Plant) -> list[str]:
    """Names of the lines; empty where neither source can say."""
    if "ingest" in plant.stages:  # which answers, from memory, where the store hangs
        with httpx.Client(timeout=QUICK_S, headers=credentials()) as client, suppress(DeniedError):
            lines = read_lines(client, plant.stages["ingest"])
            if lines is not None:
                return [str(line["line"]) for line in lines]
    if plant.blobs is None:
        return []
    try:
        return [name_of(info.key) for info in plant.blobs.list(line_pointers_prefix())]
    except (TransientError, MissingError, OSError):
        return []  # the store is examined below


def _examine_weights(blobs: Blobs, client: httpx.Client, inference: str | None) -> Iterable[Finding]:
    try:
        return list(_weights(blobs, client, inference))
    except (TransientError, MissingError, OSError) as error:
        text = f"the store does not answer: {_first_line(error)}"
        return [unknown("weights", text, remedy="restore the store first, then ask again")]


def _weights(blobs: Blobs, client: httpx.Client, inference: str | None) -> Iterator[Finding]:
    read = list(read_pointers(blobs))
    pointers = [one for one in read if isinstance(one, Pointer)]
    yield from (one for one in read if isinstance(one, Finding))
    yield from check_weights(blobs, pointers)
    if inference is not None and (metrics := read_metrics(client, inference)):
        served = {(one.line, one.product): one.weights for one in serving_weights(metrics)}
        yield from compare_with_served(pointers, served)


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
