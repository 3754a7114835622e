"""Settings of ingest, read once in ``app.py``."""

from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from siad.runtime.settings import StageSettings
from siad.vision.images import PIXELS_MAX


class IngestSettings(StageSettings):
    """Read from ``SIAD_INGEST_*``."""

    model_config = SettingsConfigDict(env_prefix="SIAD_INGEST_")

    http_port: int = Field(default=8400, ge=0, le=65535)
    upload_max_bytes: int = Field(default=64 * 2**20, ge=1)  # of one image file; a 16-bit 20 MP colour TIFF has 120 MB
    pixels_max: int = Field(default=PIXELS_MAX, ge=1, le=PIXELS_MAX)  # of one image; the stages decode no more
    uploads_max: int = Field(default=16, ge=1)  # concurrent uploads, from first byte to acknowledgement
    uploads_bytes_max: int = Field(
        default=256 * 2**20, ge=1
    )  # of concurrent uploads together; memory may hold each twice
    queue_max: int = Field(default=64, ge=0)  # uploads waiting for admission; more are answered 503
    queue_wait_s: float = Field(default=5.0, gt=0)  # longest wait for admission; then 503
    body_timeout_s: float = Field(default=60.0, gt=0)  # to receive one body; a stalled sender blocks others
    accept_timeout_s: float = Field(default=20.0, gt=0)  # from the last byte to the broker's acknowledgement; then 503
    decode_threads: int = Field(default=2, ge=1)  # images decoded at once, up to 600 MB each
    store_threads: int = Field(default=32, ge=1)  # concurrent calls to the store
    clock_skew_s: float = Field(default=5.0, ge=0)  # how far a camera's clock may be ahead of ingest's
    announce_every_s: float = Field(default=10.0, gt=0)  # between two comparisons of lines and topic

    # capture ledger
    missing_after_s: float = Field(default=60.0, gt=0)  # then a capture is missing, on lines without deadline
    missing_grace_s: float = Field(default=10.0, ge=0)  # added to a line's deadline: the ledger reads verdicts later
    books_every_s: float = Field(default=5.0, gt=0)  # between two snapshots of the capture ledger

    # retention; 0 keeps for ever. Normals and members of training sets always stay
    images_days: int = Field(default=0, ge=0)  # retention of images, from the day of receipt, UTC; 0: for ever
    masks_days: int = Field(default=0, ge=0)  # retention of masks, from their creation; 0: for ever
    receipts_days: int = Field(default=0, ge=0)  # retention of receipts and corrections, which are small; 0: for ever
    retention_every_s: float = Field(default=3600.0, gt=0)  # between two sweeps of a line
    removals_max: int = Field(default=5000, ge=1)  # deletions of one line in one sweep

    @model_validator(mode="after")
    def _receipts_outlive_what_they_name(self) -> Self:
        """Refuse receipts that expire before the objects that are found by them."""
        shorter = {"images_days": self.images_days, "masks_days": self.masks_days}
        if self.receipts_days and (odd := [f"{k} {v}" for k, v in shorter.items() if not 0 < v <= self.receipts_days]):
            msg = (
                f"receipts_days {self.receipts_days} with {' and '.join(odd)} (0: for ever): receipts would expire "
                "before the objects that they name. Set receipts_days longer, or to 0"
            )
            raise ValueError(msg)
        return self
