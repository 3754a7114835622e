"""Training sets: members, their roles, and the limits of a set. Pure."""

from dataclasses import dataclass, field
from enum import StrEnum

from siad.contracts.events import ImageStored
from siad.contracts.ids import sha256_hex
from siad.contracts.json_codec import OMIT_IF_DEFAULT, write_json
from siad.contracts.split import fraction_of


class MemberRole(StrEnum):
    """Label of a capture."""

    NORMAL = "normal"  # sent or corrected as good: its mask is empty
    GOOD = "good"  # scored clearly under the teacher's threshold
    DEFECT = "defect"  # corrected as a defect; or scored clearly over the threshold, and marked
    UNCLEAR = "unclear"  # scored near the threshold: held out without a label, to compare the order of scores


class MemberUse(StrEnum):
    """Use of a capture, fixed by the hash of its id."""

    TRAIN = "train"
    CALIBRATE = "calibrate"  # sets the thresholds
    CHECK = "check"  # used only to evaluate the candidate


HELD_OUT = (MemberUse.CALIBRATE, MemberUse.CHECK)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingMember:
    """One capture of a training set."""

    capture_id: str
    image_id: str
    image_uri: str
    mask_uri: str  # empty for a normal, and for a defect without an outline
    mask_sha256: str  # likewise
    role: MemberRole
    use: MemberUse
    weight: float  # 0..1, of its mask in the loss
    # of the correction that gives the role; 0: none does
    revision: int = field(default=0, metadata=OMIT_IF_DEFAULT)
    # drawn at random among the inspected captures before it was corrected
    is_drawn: bool = field(default=False, metadata=OMIT_IF_DEFAULT)

    @property
    def is_corrected(self) -> bool:
        """Whether a person gave its role."""
        return self.revision > 0

    @property
    def is_outlined(self) -> bool:
        """Whether a person drew its mask; a teacher's marks weigh less."""
        return self.is_corrected and self.role is MemberRole.DEFECT and self.weight >= 1

    @property
    def has_pixels(self) -> bool:
        """Whether every pixel has a label."""
        return bool(self.mask_uri) or self.role in (MemberRole.NORMAL, MemberRole.GOOD)


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalCapture:
    """A capture known to be good."""

    capture_id: str
    image_id: str
    image_uri: str
    serial: str = ""

    @classmethod
    def of(cls, receipt: ImageStored) -> "NormalCapture":
        """Take from a receipt what a training set needs."""
        return cls(
            capture_id=receipt.capture_id,
            image_id=receipt.image_id,
            image_uri=receipt.image_uri,
            serial=receipt.serial,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSet:
    """A frozen, named list of captures, sorted by capture id."""

    members: tuple[TrainingMember, ...]

    @property
    def digest(self) -> str:
        """SHA-256 of the members as canonical JSON: equal members give equal names."""
        return sha256_hex(write_json(self.members))

    def count(self, role: MemberRole, *uses: MemberUse) -> int:
        """Count the members of a role and, if given, of some uses."""
        return sum(member.role is role and (not uses or member.use in uses) for member in self.members)


@dataclass(frozen=True, slots=True, kw_only=True)
class FreezePolicy:
    """Limits, minima and shares of a training set, measured by ``benchmarks/segmenter.py``."""

    members_max: int = 400
    normals_max: int = 100
    normals_min: int = 10
    defects_min: int = 8  # for training
    held_out_defects_min: int = 4  # fewer do not measure a candidate
    held_out_goods_min: int = 5  # for calibration, and as many for the check
    good_share: float = 0.7  # lowest scores under the threshold; the rest may be missed defects
    defect_share: float = 0.9  # highest scores over the threshold; the rest may be false alarms
    held_out_share: float = 0.3  # of the teacher's captures: half for calibration, half for the check
    held_out_normals_share: float = 0.6  # of the normals, likewise: the only certain labels mostly evaluate
    corrections_max: int = 150  # that people made
    held_out_corrections_share: float = 0.3  # of the corrected captures, all for the check
    older_share: float = (
        0.4  # of the pseudo-masks and of the corrections: older ones, rare kinds first; the others are the newest
    )
    unclear_max: int = 60  # held-out captures without a label
    unoutlined_weight: float = 0.5  # of the teacher's marks on a defect that a person confirmed without an outline


@dataclass(frozen=True, slots=True, kw_only=True)
class TooFewCaptures:
    """Which captures are missing for a training set."""

    reason: str


def use_of(name: str, *, held_out_share: float) -> MemberUse:
    """Assign a use by the hash of a name for the split."""
    fraction = fraction_of(name)
    if fraction < held_out_share / 2:
        return MemberUse.CHECK
    return MemberUse.CALIBRATE if fraction < held_out_share else MemberUse.TRAIN
