"""Metrics of ingest only."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from siad.runtime.metrics import SECONDS

ACCEPTED: Final = Counter(
    "siad_ingest_images_total", "Images stored and announced, repeats included.", ["line", "intent"]
)
REPEATS: Final = Counter("siad_ingest_repeats_total", "Accepted images that had been sent before.", ["line"])
REFUSED: Final = Counter("siad_ingest_refused_total", "Refused uploads, by the kind of problem.", ["reason"])
BYTES: Final = Histogram(
    "siad_ingest_image_bytes", "Bytes of an accepted image.", buckets=tuple(4.0**power for power in range(6, 15))
)
SECONDS_TO_ACCEPT: Final = Histogram(
    "siad_ingest_accept_seconds",
    "From the last byte of an image to the broker's acknowledgement of its event.",
    buckets=SECONDS,
)
WAITING: Final = Gauge("siad_ingest_uploads_waiting", "Uploads waiting for admission.")
HELD_BYTES: Final = Gauge("siad_ingest_uploads_bytes", "Bytes of concurrent uploads, as declared.")
