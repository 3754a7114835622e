"""Metrics of erasure, exported by the process that runs it."""

from typing import Final

from prometheus_client import Counter

EXPIRED: Final = Counter(
    "siad_ingest_expired_total",
    "Objects deleted by age, by kind: masks, images, corrections or captures.",
    ["line", "kind"],
)
