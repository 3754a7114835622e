"""Metrics that every stage has.

Those of one stage are in its own ``metrics.py``.

Names end in their unit. Labels have few values: stage, line, product, topic, partition, fate, kind. Ids and digests are
never labels, except in ``siad_weights_info``, whose series are removed with the weights.
"""

import contextlib
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from siad.runtime.bus.port import TopicPartition

SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

RECEIVED: Final = Counter("siad_records_received_total", "Records fetched from a topic.", ["stage", "topic"])
DONE: Final = Counter(
    "siad_records_done_total",
    "Records whose results, or dead letter, the broker acknowledged.",
    ["stage", "topic"],
)
FAILED: Final = Counter(
    "siad_records_failed_total",
    "Failures in handling records, by fate: poison, crash and quarantine are dead-lettered; all others are retried.",
    ["stage", "topic", "fate"],
)
IN_FLIGHT: Final = Gauge("siad_records_in_flight", "Records in a handler now.", ["stage"])
LAG: Final = Gauge(
    "siad_lag_records", "Records of a partition that are not yet committed.", ["stage", "topic", "partition"]
)
LAG_SECONDS: Final = Gauge(
    "siad_lag_seconds",
    "Age of the oldest record of a partition that this process holds and has not completed; 0 where it holds none.",
    ["stage", "topic", "partition"],
)
HANDLE_SECONDS: Final = Histogram(
    "siad_handle_seconds", "From calling the handler to its return.", ["stage", "topic"], buckets=SECONDS
)
RECORD_SECONDS: Final = Histogram(
    "siad_record_seconds",
    "From fetching a record to the broker's acknowledgement of its results.",
    ["stage", "topic"],
    buckets=SECONDS,
)
HTTP_SECONDS: Final = Histogram(
    "siad_http_seconds", "From an HTTP request to its response.", ["stage", "route", "status"], buckets=SECONDS
)
ACTIONS: Final = Counter("siad_actions_total", "Actions that a reconciler completed.", ["stage", "action"])
PAUSED: Final = Gauge("siad_paused_info", "1 while work of the stage waits for this reason.", ["stage", "reason"])
MISSING: Final = Gauge(
    "siad_missing_info",
    "1 while a dependency of the stage fails its check, or does not answer it in time; measured every 15 s.",
    ["stage", "dependency"],
)
LINE_QUARANTINED: Final = Gauge(
    "siad_line_quarantined",
    "1 while a line's records are dead-lettered unhandled, because too many in a row were poison.",
    ["stage", "line"],
)
STAGE_STOPPED: Final = Gauge(
    "siad_stage_stopped",
    "1 while the poison breaker is open: too many records in a row, of several lines, were poison.",
    ["stage"],
)
WEIGHTS: Final = Gauge(
    "siad_weights_info",
    "1 for the weights that serve a line and product now.",
    ["stage", "line", "product", "kind", "weights"],
)
BOOKS: Final = Gauge(
    "siad_books_captures",
    "Captures by state: received = verdict + waiting + dead_letter; missing are waiting captures past their deadline. "
    "Exported only by the ingest process that holds the capture ledger's lease.",
    ["line", "state"],
)


def forget_lag(stage: str, place: TopicPartition) -> None:
    """Remove the lag of a partition that moved away.

    Its new owner exports it.
    """
    for gauge in (LAG, LAG_SECONDS):
        with contextlib.suppress(KeyError):  # it was never measured
            gauge.remove(stage, place.topic, str(place.partition))


class WeightsInService:
    """Series of ``siad_weights_info`` for the weights in service.

    The old series of a place is removed when the new one is set.
    """

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._serving: dict[tuple[str, str], tuple[str, str]] = {}

    def put(self, line: str, product: str, *, kind: str, weights: str) -> None:
        """Set the weights that serve a place from now on."""
        self.drop(line, product)
        self._serving[line, product] = kind, weights
        WEIGHTS.labels(self._stage, line, product, kind, weights).set(1)

    def drop(self, line: str, product: str) -> None:
        """Remove the series of a place that no weights serve."""
        if (old := self._serving.pop((line, product), None)) is not None:
            WEIGHTS.remove(self._stage, line, product, *old)
