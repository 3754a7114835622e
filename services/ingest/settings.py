"""Every knob of ingest. One class, read once, in ``app.py``."""

from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from siad.runtime.settings import StageSettings
from siad.vision.images import PIXELS_MAX


class IngestSettings(StageSettings):
    """Read from ``SIAD_INGEST_*``."""

    model_config = SettingsConfigDict(env_prefix="SIAD_INGEST_")

    http_port: int = Field(default=8400, ge=0, le=65535)
    upload_max_bytes: int = Field(default=64 * 2**20, ge=1)  # of one image file; a 16 bit 20 MP colour TIFF is 120 MB
    pixels_max: int = Field(
        default=PIXELS_MAX, ge=1, le=PIXELS_MAX
    )  # of one image; more than the stages decode is no use
    uploads_max: int = Field(default=16, ge=1)  # under way at a time, from first byte to acknowledgement
    uploads_bytes_max: int = Field(default=256 * 2**20, ge=1)  # of those together; each may lie in memory twice
    queue_max: int = Field(default=64, ge=0)  # uploads that wait for their turn; more are sent away at once
    queue_wait_s: float = Field(default=5.0, gt=0)  # then an upload is sent away too, to come again
    body_timeout_s: float = Field(default=60.0, gt=0)  # for one body to come in; a sender that stalls blocks the others
    accept_timeout_s: float = Field(default=20.0, gt=0)  # from the whole body to the broker's word; then 503
    decode_threads: int = Field(default=2, ge=1)  # images decoded at a time, at up to 600 MB each
    store_threads: int = Field(default=32, ge=1)  # calls to the store under way
    clock_skew_s: float = Field(default=5.0, ge=0)  # how far a camera's clock may be ahead of ours
    announce_every_s: float = Field(default=10.0, gt=0)  # how often lines are held against what was announced

    # capture ledger
    missing_after_s: float = Field(default=60.0, gt=0)  # a capture without a verdict is missing; lines without deadline
    missing_grace_s: float = Field(default=10.0, ge=0)  # added to a line's deadline: the ledger reads verdicts later
    books_every_s: float = Field(default=5.0, gt=0)  # between two snapshots of the capture ledger

    # retention; 0 keeps for ever, so nothing goes unless somebody says so. Normals and training sets always stay
    images_days: int = Field(default=0, ge=0)  # bytes of captures, counted by the day they came, UTC
    masks_days: int = Field(default=0, ge=0)  # from when they were drawn
    receipts_days: int = Field(default=0, ge=0)  # what a capture was: small, and what a part's history hangs on
    retention_every_s: float = Field(default=3600.0, gt=0)  # how often a line is looked through
    removals_max: int = Field(default=5000, ge=1)  # objects of a line in one round

    @model_validator(mode="after")
    def _receipts_outlive_what_they_name(self) -> Self:
        """Else nobody could find an image by its part any more, to forget it, say."""
        shorter = {"images_days": self.images_days, "masks_days": self.masks_days}
        if self.receipts_days and (odd := [f"{k} {v}" for k, v in shorter.items() if not 0 < v <= self.receipts_days]):
            msg = (
                f"receipts_days {self.receipts_days} with {' and '.join(odd)} (0: for ever): receipts would go before "
                "what they name; keep them as long, or for ever (0)"
            )
            raise ValueError(msg)
        return self
