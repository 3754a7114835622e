"""Facts about teachers in service, for operators. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from siad.contracts.normals_profile import OddNormal


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherFacts:
    """Facts for operators about a teacher in service, from its manifest."""

    line: str
    product: str
    weights: str
    method: str
    normals: int  # that it was fitted on
    promise: str  # false rejects to expect; empty where the requested budget was not recorded
    left_out: tuple[str, ...]  # captures among the normals that looked like defects and were not learned from
    doubted: tuple[str, ...]  # captures that may be defects; what only they show was not learned
    serials: Mapping[str, str]  # of all to check, by capture id: serial of the part; without captures that were deleted
    profile: str = ""  # sizes, channels and depth of its normals, which images must fit; empty where not recorded
    learning_paused: str = ""  # why its line learns nothing; empty where it does
    no_stream: str = ""  # why its refits learn nothing of the stream; empty where they do
    last_fit: str = ""  # the latest fit of the line, with the gate's decision; empty where none is recorded
    odd_normals: tuple[OddNormal, ...] = ()  # of another size or other channels, without sizes that the line accepts
    quarantine: str = ""  # why it is in quarantine; empty where it is not
    answered: tuple[str, ...] = ()  # of left_out and doubted: captures that a person called good
    of_stream: tuple[str, ...] = ()  # of left_out and doubted: captures of the stream
