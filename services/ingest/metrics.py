"""Metrics of ingest only."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import structlog
from prometheus_client import Counter, Gauge, Histogram

from services.ingest.domain.refusals import RequestRefusedError
from siad.contracts.errors import TransientError
from siad.runtime import metrics as common
from siad.runtime.metrics import SECONDS

log = structlog.get_logger()

STAGE: Final = "ingest"
VIA: Final = "http"  # in place of the topic in metrics of records

ACCEPTED: Final = Counter(
    "siad_ingest_images_total", "Images stored and announced, repeats included.", ["line", "intent"]
)
REPEATS: Final = Counter("siad_ingest_repeats_total", "Accepted images that had been sent before.", ["line"])
REFUSED: Final = Counter(
    "siad_ingest_refused_total", "Uploads refused by their content, form or line, by the kind of problem.", ["reason"]
)
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


@contextmanager
def counted_upload(line: str) -> Iterator[None]:
    """Count one upload by its outcome."""
    common.RECEIVED.labels(STAGE, VIA).inc()
    in_flight = common.IN_FLIGHT.labels(STAGE)
    in_flight.inc()
    try:
        yield
    except RequestRefusedError as error:
        REFUSED.labels(error.reason.value).inc()
        common.FAILED.labels(STAGE, VIA, "refused").inc()
        log.warning("image_refused", line=line, reason=error.reason.value, detail=str(error))
        raise
    except TransientError as error:
        common.FAILED.labels(STAGE, VIA, "transient").inc()
        log.warning("image_put_off", line=line, reason=str(error))
        raise
    else:
        common.DONE.labels(STAGE, VIA).inc()
    finally:
        in_flight.dec()
