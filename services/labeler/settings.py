"""Every knob of the labeler and of its scorer. One class, read once, in ``app.py`` and in ``scorer/__main__.py``."""

from pydantic import AnyHttpUrl, Field
from pydantic_settings import SettingsConfigDict

from siad.runtime.settings import StageSettings


class LabelerSettings(StageSettings):
    """Read from ``SIAD_LABELER_*``."""

    model_config = SettingsConfigDict(env_prefix="SIAD_LABELER_")

    http_port: int = Field(default=8402, ge=0, le=65535)
    scorer_url: AnyHttpUrl  # no default: masks from the wrong cluster would poison every training set after them
    max_in_flight: int = Field(default=16, ge=1)  # captures; past it the consumer pauses
    handler_timeout_s: float = Field(default=60.0, gt=0)  # then the capture counts as transient
    fit_timeout_s: float = Field(
        default=900.0, gt=0
    )  # a fit takes seconds, of trained methods minutes; of auto several
    plan_every_s: float = Field(default=5.0, gt=0)  # between two looks at the normals; a normal that comes nudges
    backfill_max: int = Field(
        default=500, ge=0
    )  # captures from before the first teacher that are labelled, newest first

    # the application inside Ray Serve
    scorer_port: int = Field(default=8401, ge=1, le=65535)  # where its proxy listens, on loopback
    replicas: int = Field(default=1, ge=1)
    scorer_cpus: float = Field(default=0.5, gt=0)  # logical; a replica computes with ``torch_threads``
    fitter_cpus: float = Field(default=0.25, gt=0)  # logical; fits are rare
    torch_threads: int = Field(default=1, ge=1)
    batch_max: int = Field(default=8, ge=1)  # images through a network at once
    batch_wait_s: float = Field(default=0.01, ge=0)  # a batch waits so long to fill
    models_max: int = Field(default=8, ge=1)  # teachers in a replica's memory, up to 32 MB each beside the backbone
