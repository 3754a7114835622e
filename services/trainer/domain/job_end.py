"""End of a training job."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class JobEnd:
    """How a job ended."""

    exit_status: int  # 0: it succeeded
    reason: str = ""  # why it failed; empty where it succeeded
