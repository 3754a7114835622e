"""Settings of the labeler and its scorer; each reads them once."""

from pydantic import AnyHttpUrl, Field
from pydantic_settings import SettingsConfigDict

from siad.runtime.settings import StageSettings


class LabelerSettings(StageSettings):
    """Settings from ``SIAD_LABELER_*``."""

    model_config = SettingsConfigDict(env_prefix="SIAD_LABELER_")

    http_port: int = Field(default=8402, ge=0, le=65535)
    # Address of the scorer. No default: masks from another plant's scorer would spoil every later training set.
    scorer_url: AnyHttpUrl
    max_in_flight: int = Field(default=16, ge=1)  # captures being labelled; at this count the consumer pauses
    handler_timeout_s: float = Field(default=60.0, gt=0)  # for one capture; then it is retried
    # For one fit: seconds for the default method, minutes for trained methods, several fits for method auto.
    fit_timeout_s: float = Field(default=900.0, gt=0)
    plan_every_s: float = Field(default=5.0, gt=0)  # between two plans of a line; a new normal triggers one at once
    # Captures from before the first teacher that are labelled once there is one, newest first.
    backfill_max: int = Field(default=500, ge=0)

    # the application inside Ray Serve
    scorer_port: int = Field(default=8401, ge=1, le=65535)  # of Ray Serve's HTTP proxy, on loopback
    replicas: int = Field(default=1, ge=1)  # processes that draw masks; the fewest, with ``replicas_max``
    # Most processes that draw masks: Serve starts more while each has over eight captures to draw. Unset: ``replicas``.
    replicas_max: int | None = Field(default=None, ge=1)
    scorer_cpus: float = Field(default=0.5, gt=0)  # Ray's logical CPUs of a replica; it computes with ``torch_threads``
    fitter_cpus: float = Field(default=0.25, gt=0)  # Ray's logical CPUs of the process that fits; fits are rare
    torch_threads: int = Field(default=1, ge=1)  # of each replica
    # Nice value of the processes that draw and fit, so that they delay no verdict on shared cores.
    scorer_nice: int = Field(default=10, ge=0, le=19)
    batch_max: int = Field(default=8, ge=1)  # images through the network at once
    batch_wait_s: float = Field(default=0.01, ge=0)  # longest time that a batch waits for more images
    models_max: int = Field(default=8, ge=1)  # teachers in a replica's memory, up to 32 MB each beside the backbone
