"""Every knob of the trainer. One class, read once, in ``app.py``."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.trainer.domain.size import SizePolicy
from siad.runtime.settings import StageSettings


class TrainerSettings(StageSettings):
    """Read from ``SIAD_TRAINER_*``."""

    model_config = SettingsConfigDict(env_prefix="SIAD_TRAINER_")

    http_port: int = Field(default=8403, ge=0, le=65535)
    batch_max: int = Field(default=500, ge=1)  # pseudo-masks in one ledger file
    batch_wait_s: float = Field(default=2.0, gt=0)  # a smaller file is written after so long
    plan_every_s: float = Field(default=5.0, gt=0)  # how often each line's state is read and planned for
    captures_min: int = Field(default=120, ge=20)  # new ones before a line is trained again; fewer teach too little
    normals_min: int = Field(default=10, ge=2)  # so many the teacher needs too
    cooldown_s: float = Field(default=600.0, ge=0)  # a line rests after a run, so that two lines can take turns
    attempts_max: int = Field(default=4, ge=1)  # starts of one job before its run is written off
    job_limit_s: float = Field(default=900.0, gt=0)  # a job that hangs is ended after so long
    members_max: int = Field(default=400, ge=50)  # images in a training set; 1.2 MB each in the job's memory at 256 px
    input_px: int = Field(default=256, ge=64)  # side that images are shown at; larger where their teacher's is
    # But not over this: it takes six times the seconds and the memory of 256. For more, raise ``job_limit_s`` too.
    input_px_max: int = Field(default=640, ge=64)
    epochs: int = Field(default=15, ge=1)  # 30 begins to believe the masks that are wrong
    # Training ends after so long with what it has, where images are larger than ``input_px`` later by their area;
    # starting takes 20 to 30 s more.
    train_s: float = Field(default=45.0, gt=0)

    @property
    def size(self) -> SizePolicy:
        """At which size segmenters are shown images."""
        return SizePolicy(least_px=self.input_px, most_px=max(self.input_px, self.input_px_max))
