"""Every knob of inference. One class, read once, in ``app.py``."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from siad.runtime.settings import StageSettings


class InferenceSettings(StageSettings):
    """Read from ``SIAD_INFERENCE_*``."""

    model_config = SettingsConfigDict(env_prefix="SIAD_INFERENCE_")
    renamed: ClassVar[Mapping[str, str]] = {  # ingest keeps the capture ledger
        "SIAD_INFERENCE_MISSING_AFTER_S": "SIAD_INGEST_MISSING_AFTER_S",
        "SIAD_INFERENCE_MISSING_GRACE_S": "SIAD_INGEST_MISSING_GRACE_S",
        "SIAD_INFERENCE_BOOKS_EVERY_S": "SIAD_INGEST_BOOKS_EVERY_S",
    }

    http_port: int = Field(default=8404, ge=0, le=65535)
    max_in_flight: int = Field(default=32, ge=1)  # captures; past it the consumer pauses. Decoded images lie in memory
    handler_timeout_s: float = Field(default=60.0, gt=0)  # then it counts as transient; a load may be waited for
    torch_threads: int = Field(default=1, ge=1)  # of one batch; left alone torch takes every core of the node
    batch_max: int = Field(default=8, ge=1)  # images scored together; more gains little on a CPU and costs waiting
    batch_wait_s: float = Field(default=0.003, ge=0)  # how long a lone image waits for company
    models_max: int = Field(default=16, ge=2)  # lines and products in memory, the longest unused goes; each holds two
    poll_s: float = Field(default=5.0, gt=0)  # how often the pointers are read, should an event have gone missing
    direct_max: int = Field(default=4, ge=1)  # images asked for over HTTP at a time; more wait, their bodies unread
    body_timeout_s: float = Field(default=60.0, gt=0)  # for one body to come in; a sender that stalls blocks the others
    upload_max_bytes: int = Field(default=64 * 2**20, ge=1)  # of one image asked for over HTTP
