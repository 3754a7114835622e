"""Status of the stages, from their probes, metrics and APIs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from siad.contracts.errors import DeniedError
from siad.contracts.place import Place, describe_no_weights

STAGES = ("ingest", "labeler", "console", "trainer", "inference")


@dataclass(frozen=True, slots=True, kw_only=True)
class StageStatus:
    """One stage, as its probe and metrics report it."""

    stage: str
    url: str
    ready: bool
    missing: str  # what it waits for; empty if it is ready
    received: int
    done: int
    failed: dict[str, int]  # by outcome
    in_flight: int
    lag: int  # records not yet committed


@dataclass(frozen=True, slots=True, kw_only=True)
class LineWeights:
    """The weights that judge images of one line and product."""

    line: str
    product: str
    kind: str
    weights: str


def read_stage(client: httpx.Client, name: str, url: str) -> StageStatus:
    """Read probe and metrics of one stage.

    A stage that does not respond is not ready.
    """
    try:
        response = client.get(f"{url}/readyz")
    except httpx.HTTPError:
        return StageStatus(
            stage=name, url=url, ready=False, missing=f"does not respond at {url}",
            received=0, done=0, failed={}, in_flight=0, lag=0,
        )  # fmt: skip
    metrics = read_metrics(client, url)
    return StageStatus(
        stage=name,
        url=url,
        ready=response.is_success,
        missing=describe_problem(response) if not response.is_success or b'"missing"' in response.content else "",
        received=int(total(metrics, "siad_records_received_total")),
        done=int(total(metrics, "siad_records_done_total")),
        failed={fate: int(count) for fate, count in by_label(metrics, "siad_records_failed_total", "fate").items()},
        in_flight=int(total(metrics, "siad_records_in_flight")),
        lag=int(total(metrics, "siad_lag_records")),
    )


def read_missing(client: httpx.Client, url: str) -> str:
    """Say what a stage waits for, from its readiness."""
    try:
        response = client.get(url)
    except httpx.HTTPError:
        return "does not respond"
    return "is ready now" if response.is_success else f"waits: {describe_problem(response)}"


def describe_problem(response: httpx.Response) -> str:
    """Say what a problem lacks, part by part; else its text."""
    try:
        body = response.json()
        missing = body.get("missing") or {}
        return "; ".join(f"{name}: {reason}" for name, reason in missing.items()) or str(body["detail"])
    except (ValueError, KeyError, AttributeError):
        return response.text or f"HTTP status {response.status_code}"


def read_metrics(client: httpx.Client, url: str) -> str:
    """Metrics of a stage in Prometheus's text format.

    Empty if it does not respond.
    """
    try:
        return client.get(f"{url}/metrics").text
    except httpx.HTTPError:
        return ""


def read_ledger(client: httpx.Client, url: str) -> dict[str, Any] | None:
    """Read the capture ledger from ingest; None if it does not respond."""
    return _read_json(client, f"{url}/v1/books")


def read_teachers(client: httpx.Client, url: str) -> list[dict[str, Any]] | None:
    """Teachers that the labeler serves; None if it does not respond."""
    body = _read_json(client, f"{url}/v1/teachers")
    return None if body is None else list(body["teachers"])


def read_fits(client: httpx.Client, url: str) -> list[dict[str, Any]]:
    """Fits that are under way, wait or were refused, from the labeler."""
    body = _read_json(client, f"{url}/v1/teachers") or {}
    return list(body.get("fits", ()))


def read_thresholds(client: httpx.Client, url: str) -> list[dict[str, Any]]:
    """Read the weights in service with their thresholds, from inference.

    Weights that are not in memory, and an inference that does not respond, have none.
    """
    body = _read_json(client, f"{url}/v1/weights") or {}
    return [one for one in body.get("weights", ()) if one.get("threshold")]


def read_lines(client: httpx.Client, url: str) -> list[dict[str, Any]] | None:
    """Settings of every line, from ingest; None if it does not respond."""
    body = _read_json(client, f"{url}/v1/lines")
    return None if body is None else list(body["lines"])


def read_estimates(client: httpx.Client, url: str, lines: Iterable[str]) -> list[dict[str, Any]]:
    """Estimates of misses and false rejects, from the console.

    Lines without an answer to a drawn capture have none, and neither has a console that does not respond.
    """
    found = (_read_json(client, f"{url}/v1/lines/{line}/review/estimates") for line in lines)
    return [one for body in found if body is not None for one in body.get("estimates", ())]


def _read_json(client: httpx.Client, url: str) -> dict[str, Any] | None:
    try:
        response = client.get(url)
    except httpx.HTTPError:
        return None
    if response.status_code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        raise DeniedError(describe_problem(response))
    return dict(response.json()) if response.is_success else None


def total(metrics: str, name: str) -> float:
    """Sum of all series of one metric; 0 if there is none."""
    return float(sum(sample.value for sample in _samples(metrics, name)))


def by_label(metrics: str, name: str, label: str) -> dict[str, float]:
    """Sums of one metric by the values of one label."""
    sums: dict[str, float] = {}
    for sample in _samples(metrics, name):
        sums[sample.labels[label]] = sums.get(sample.labels[label], 0.0) + sample.value
    return sums


def count_not_labelled(metrics: str) -> dict[str, int]:
    """Captures without a pseudo-mask by choice, by line, from the labeler."""
    counts = by_label(metrics, "siad_labeler_not_labelled_total", "line")
    return {line: int(count) for line, count in sorted(counts.items()) if count}


def describe_not_labelled(counts: Mapping[str, int]) -> list[str]:
    """Say that captures have no pseudo-mask by choice."""
    return [
        f"{line}: {count} captures not labelled by choice since the labeler started: its segmenter passed them "
        "clearly, or no teacher can draw them, and they were not drawn (siad line put --labelled-share)"
        for line, count in counts.items()
    ]


def describe_probes(metrics: str) -> list[str]:
    """Say which synthetic defects are found in copies of captures.

    Args:
        metrics: of inference, in Prometheus's text format.
    """
    shares: dict[tuple[str, str], dict[str, dict[str, float]]] = {}
    for sample in _samples(metrics, "siad_inference_probe_recall_ratio"):
        of_place = shares.setdefault((sample.labels["line"], sample.labels["product"]), {})
        of_place.setdefault(sample.labels["defects"], {})[sample.labels["bound"]] = sample.value
    return [
        f"{line}/{product}: finds "
        + " and ".join(
            f"{one['estimate']:.0%} ({one['low']:.0%} to {one['high']:.0%}) of {name} synthetic defects"
            for name, one in sorted(of_place.items())
        )
        + " in copies of its captures; real defects differ, so this is no share of them"
        for (line, product), of_place in sorted(shares.items())
    ]


def serving_weights(metrics: str) -> list[LineWeights]:
    """Weights that inference serves, from its metrics."""
    return [
        LineWeights(**{key: sample.labels[key] for key in ("line", "product", "kind", "weights")})
        for sample in _samples(metrics, "siad_weights_info")
    ]


def describe_drifts(metrics: str) -> list[str]:
    """Name what drifts in the images of each line, from inference's metrics."""
    return sorted(
        f"{sample.labels['line']}/{sample.labels['product']}: drift: {sample.labels['cause']}; see siad drift "
        f"{sample.labels['line']}"
        for sample in _samples(metrics, "siad_inference_drift_info")
        if sample.value
    )


def describe_missing_weights(metrics: str, places: Iterable[Place]) -> list[str]:
    """Name the places that no weights serve: their images get UNKNOWN.

    Args:
        metrics: of inference, in Prometheus's text format; empty where it did not respond, then nothing is said.
        places: lines and products that images were sent for.
    """
    if not metrics:
        return []
    served = {(weights.line, weights.product) for weights in serving_weights(metrics)}
    return [
        f"{describe_no_weights(place)}. Once siad status shows weights for it, send them again to have them judged"
        for place in places
        if tuple(place) not in served
    ]


def _samples(metrics: str, name: str) -> list[Any]:
    families = text_string_to_metric_families(metrics)
    return [sample for family in families for sample in family.samples if sample.name == name]
