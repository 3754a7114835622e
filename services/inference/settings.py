"""Settings of inference. One class, read once, in ``app.py``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field
from pydantic_settings import SettingsConfigDict

from siad.models.runner.open import require_known
from siad.runtime.consumer import Delivery
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
    max_in_flight: int = Field(default=32, ge=1)  # captures handled at once, each with a decoded image in memory
    # exactly-once: verdicts and offsets in one transaction of the bus, so readers of committed records get each verdict
    # once, for some milliseconds a transaction; at-least-once: a crash repeats verdicts, and readers drop repeats
    delivery: Delivery = "at-least-once"
    handler_timeout_s: float = Field(default=60.0, gt=0)  # for one capture, loading included; then it is retried
    torch_threads: int = Field(default=1, ge=1)  # CPU threads for one batch, whatever runs it; else it uses every core
    # of networks: exact (the fastest as measured here, in float32), auto (also one of lower precision that screens),
    # openvino, openvino-bf16, onnxruntime, torch, or the name of an installed one (docs/models/runners.md)
    runner: Annotated[str, AfterValidator(require_known)] = "exact"
    batch_max: int = Field(default=8, ge=1)  # images scored together; more gain little on a CPU and wait longer
    batch_wait_s: float = Field(default=0.003, ge=0)  # how long an incomplete batch waits for more images
    # memory for weights, MiB, as estimated; the least used make room, and are loaded again when their line sends images
    # (unset: half of the container's memory limit, or 16 models where neither that nor models_max bounds them)
    weights_mb: int | None = Field(default=None, ge=1)
    models_max: int | None = Field(default=None, ge=2)  # models in memory, of a segmenter and a teacher only one serves
    # folder for copies of weights and of the last known releases, settings and thresholds, by which direct requests are
    # judged while broker or store is away, also after a restart, and for compiled networks (up to 512 MiB), so that a
    # reload takes a fifth of the time; unset: nothing is kept
    cache_dir: Path | None = None
    cache_mb: int = Field(default=4096, ge=1)  # of copied weights, in MiB; the least recently used go
    spool_max: int = Field(default=1000, ge=1)  # verdicts kept in cache_dir while the broker refuses them
    # Share of passed captures of which a copy with a synthetic defect is judged while no capture is under way; 0: none.
    probe_share: float = Field(default=0.01, ge=0, le=1)
    # Share of one core that candidates of trials may take for captures that other weights decided; 0: none are judged.
    shadow_cpu_share: float = Field(default=0.25, ge=0, le=1)
    poll_s: float = Field(default=5.0, gt=0)  # between two reads of the release pointers, in case an event is missed
    direct_max: int = Field(default=4, ge=1)  # direct requests judged at once; others wait, their bodies unread
    body_timeout_s: float = Field(default=60.0, gt=0)  # for the body of a direct request; then it is refused
    upload_max_bytes: int = Field(default=64 * 2**20, ge=1)  # of one image in a direct request
