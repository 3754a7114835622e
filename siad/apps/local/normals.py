"""Normals of lines: how many a first teacher still needs.

The labeler counts them.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import httpx
from prometheus_client.parser import text_string_to_metric_families

from services.labeler.domain.fitting import STEPS, describe_shortage
from siad.apps.local.stage_status import read_metrics
from siad.contracts.place import Place

METRIC: Final = "siad_labeler_normals_captures"
WAIT_S: Final = 5.0  # for the labeler to count normals that were just sent; it plans at once, and every 5 s
POLL_S: Final = 0.2


def count_normals(metrics: str) -> dict[Place, int]:
    """Read the normals of each line and product from the labeler's metrics."""
    families = text_string_to_metric_families(metrics)
    return {
        Place(sample.labels["line"], sample.labels["product"]): int(sample.value)
        for family in families
        for sample in family.samples
        if sample.name == METRIC
    }


def read_counts(labeler: str) -> dict[Place, int]:
    """Read the counts of the labeler; none where it is away.

    Args:
        labeler: its address; empty where it is unknown.
    """
    if not labeler:
        return {}
    with httpx.Client(timeout=WAIT_S) as client:
        return count_normals(read_metrics(client, labeler))


def find_shortages(
    lines: Iterable[Mapping[str, Any]], counts: Mapping[Place, int], taught: Iterable[Place]
) -> dict[Place, str]:
    """Say which lines have no teacher because normals are missing.

    Args:
        lines: settings of every line, as ingest gives them.
        counts: normals of each line and product; those without any are left out.
        taught: lines and products with a teacher in service.
    """
    have = set(taught)
    places = [Place(line["line"], line["product"]) for line in lines]
    texts = {place: describe_shortage(place, counts.get(place, 0)) for place in places if place not in have}
    return {place: text for place, text in texts.items() if text}


def report_after_sending(
    labeler: str,
    place: Place,
    *,
    sent: int,
    before: int = 0,
    transport: httpx.BaseTransport | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Say what the normals that were just sent lead to.

    Waits a few seconds until the labeler has counted them.

    Args:
        labeler: its address; empty where it is unknown.
        place: line and product of the normals.
        sent: different normals that were accepted, without repeats; the line has at least as many.
        before: normals that the labeler had counted before.
        transport: replaces the network, in tests.
        sleep: replaces the clock, in tests.
    """
    count = 0
    with httpx.Client(timeout=WAIT_S, transport=transport) as client:
        for _ in range(round(WAIT_S / POLL_S)):
            metrics = read_metrics(client, labeler) if labeler else ""
            count = count_normals(metrics).get(place, 0)
            if count >= before + sent or not metrics:
                break
            sleep(POLL_S)
    if not count:
        return f"a teacher is fitted once line {place.line} has {STEPS[0]} normals; siad status shows how many it has"
    enough = (
        f"line {place.line} has {count} normals of {place.product}, enough for a teacher; siad status shows when it "
        "serves"
    )
    lag = ""
    if count < before + sent:
        lag = f" ({sent} were just sent; the labeler has not counted all of them yet, siad status shows when it has)"
    return (describe_shortage(place, count) or enough) + lag
