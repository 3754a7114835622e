"""Settings of the trainer, read once in ``app.py``."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.trainer.domain.size import SizePolicy
from siad.runtime.settings import StageSettings


class TrainerSettings(StageSettings):
    """Settings from ``SIAD_TRAINER_*``."""

    model_config = SettingsConfigDict(env_prefix="SIAD_TRAINER_")

    http_port: int = Field(default=8403, ge=0, le=65535)
    batch_max: int = Field(default=500, ge=1)  # pseudo-masks in one ledger file
    batch_wait_s: float = Field(default=2.0, gt=0)  # longest time that a ledger file waits to fill
    plan_every_s: float = Field(default=5.0, gt=0)  # between two plans of a line
    captures_min: int = Field(default=120, ge=20)  # new captures for another run; fewer teach too little
    corrections_min: int = Field(default=10, ge=1)  # new corrections by people, which start another run too
    normals_min: int = Field(default=10, ge=2)  # known good captures for a run, as many as a teacher needs
    cooldown_s: float = Field(default=600.0, ge=0)  # from the end of a run to the line's next, so that lines take turns
    attempts_max: int = Field(default=4, ge=1)  # starts of one job, before its run is closed as failed
    job_limit_s: float = Field(default=900.0, gt=0)  # longest time of a job; then it is ended
    members_max: int = Field(default=400, ge=50)  # images in a training set; 1.2 MB each in the job's memory at 256 px
    input_px: int = Field(default=256, ge=64)  # input side of a segmenter; larger where its teacher's is
    # Largest input side. 640 takes six times the time and memory of 256; with more, raise ``job_limit_s`` too.
    input_px_max: int = Field(default=640, ge=64)
    epochs: int = Field(default=15, ge=1)  # at 30 the network begins to learn wrong masks
    # Longest training time at ``input_px``; at a larger input longer, in proportion to its area. Starting a job takes
    # 20 to 30 s more.
    train_s: float = Field(default=45.0, gt=0)

    # Share of the captures that a candidate decides in a canary, before it is released.
    canary_share: float = Field(default=0.1, gt=0, le=1)
    # Captures, and days, after which a trial that is not decided ends; what serves stays.
    trial_captures_max: int = Field(default=5000, ge=100)
    trial_days_max: float = Field(default=7.0, gt=0)

    # Workers of a training, one CPU of Ray each. Runs that are open keep their number.
    workers: int = Field(default=1, ge=1)
    # File with the RayJob of a job, without name and entrypoint, as JSON; empty: jobs are processes beside the trainer.
    rayjob_template: str = ""
    rayjob_prefix: str = "siad-job"  # begins the names of RayJobs; one for each installation in a namespace
    rayjob_owner: str = ""  # Deployment with which RayJobs are deleted; empty: none

    @property
    def size(self) -> SizePolicy:
        """Bounds of the input size."""
        return SizePolicy(least_px=self.input_px, most_px=max(self.input_px, self.input_px_max))
