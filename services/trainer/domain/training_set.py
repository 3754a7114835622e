"""Training sets: which captures, in which role, with which weight. Pure.

Captures with equal bytes count once, so that a held-out image was never trained on under another capture id.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from services.trainer.domain.ledger import LedgerRow, rows_of_newest_teacher
from siad.contracts.events import ImageStored
from siad.contracts.ids import sha256_hex
from siad.contracts.json_codec import write_json


class MemberRole(StrEnum):
    """Label of a capture."""

    NORMAL = "normal"  # sent as known to be good: its mask is empty
    GOOD = "good"  # scored clearly under the teacher's threshold
    DEFECT = "defect"  # scored clearly over it, and marked


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
    mask_uri: str  # empty for a normal
    mask_sha256: str  # empty for a normal
    role: MemberRole
    use: MemberUse
    weight: float  # 0..1, of its mask in the loss


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalCapture:
    """A capture known to be good."""

    capture_id: str
    image_id: str
    image_uri: str

    @classmethod
    def of(cls, receipt: ImageStored) -> "NormalCapture":
        """Take from a receipt what a training set names."""
        return cls(capture_id=receipt.capture_id, image_id=receipt.image_id, image_uri=receipt.image_uri)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class TooFewCaptures:
    """Which captures are missing for a training set."""

    reason: str


def freeze(
    rows: Iterable[LedgerRow], normals: Sequence[NormalCapture], *, teachers: Sequence[str], policy: FreezePolicy
) -> TrainingSet | TooFewCaptures:
    """Choose the members of a training set.

    Args:
        rows: the ledger, in the order of its files.
        normals: captures known to be good.
        teachers: weights of the line's teachers, newest first.
        policy: shares, limits and minima.

    Returns:
        The set, the same for the same captures in any order, or what is missing.
    """
    known = {normal.capture_id for normal in normals}
    labelled = [row for row in rows_of_newest_teacher(rows, teachers) if row.capture_id not in known]
    certain = [_normal_member(normal, policy) for normal in _by_hash(normals)[: policy.normals_max]]
    room = policy.members_max - len(certain)
    defects = _newest(_clear_defects(labelled, policy), room // 2)
    goods = _newest(_clear_goods(labelled, policy), room - len(defects))
    members = _distinct([*certain, *(_labelled_member(row, policy, weight) for row, weight in (*goods, *defects))])
    chosen = TrainingSet(members=tuple(sorted(members, key=lambda member: member.capture_id)))
    missing = _missing(chosen, policy)
    return TooFewCaptures(reason=missing) if missing else chosen


def _missing(chosen: TrainingSet, policy: FreezePolicy) -> str:
    minima = (
        ("normals", chosen.count(MemberRole.NORMAL), policy.normals_min),
        ("clear defects for training", chosen.count(MemberRole.DEFECT, MemberUse.TRAIN), policy.defects_min),
        ("clear defects held out", chosen.count(MemberRole.DEFECT, *HELD_OUT), policy.held_out_defects_min),
        ("good captures for calibration", _count_goods(chosen, MemberUse.CALIBRATE), policy.held_out_goods_min),
        ("good captures for the check", _count_goods(chosen, MemberUse.CHECK), policy.held_out_goods_min),
    )
    return ", ".join(f"{found} {name}, {least} needed" for name, found, least in minima if found < least)


def _count_goods(chosen: TrainingSet, use: MemberUse) -> int:
    return chosen.count(MemberRole.NORMAL, use) + chosen.count(MemberRole.GOOD, use)


def _clear_goods(rows: Iterable[LedgerRow], policy: FreezePolicy) -> list[tuple[LedgerRow, float]]:
    """Choose the lowest scores under the threshold, with their weights."""
    ranked = sorted((row for row in rows if not row.is_defect), key=lambda row: (row.score, row.capture_id))
    return _weighted(ranked[: round(len(ranked) * policy.good_share)])


def _clear_defects(rows: Iterable[LedgerRow], policy: FreezePolicy) -> list[tuple[LedgerRow, float]]:
    """Choose the highest scores over the threshold, without empty masks."""
    marked = (row for row in rows if row.is_defect and row.defect_ratio > 0)
    ranked = sorted(marked, key=lambda row: (-row.score, row.capture_id))
    return _weighted(ranked[: round(len(ranked) * policy.defect_share)])


def _weighted(ranked: Sequence[LedgerRow]) -> list[tuple[LedgerRow, float]]:
    """Weigh rows by the mask's confidence, 0.25 to 1: labels are clear."""
    return [(row, round(0.25 + 0.75 * row.confidence, 4)) for row in ranked]


def _newest(rows: list[tuple[LedgerRow, float]], count: int) -> list[tuple[LedgerRow, float]]:
    """Keep the ``count`` last received: the line as it is now."""
    return sorted(rows, key=lambda weighted: (weighted[0].received_at, weighted[0].capture_id), reverse=True)[:count]


def _by_hash(normals: Sequence[NormalCapture]) -> list[NormalCapture]:
    """Order normals by hash, so that the first hundred stay the same."""
    return sorted(normals, key=lambda normal: sha256_hex(normal.capture_id.encode()))


def _normal_member(normal: NormalCapture, policy: FreezePolicy) -> TrainingMember:
    return TrainingMember(
        capture_id=normal.capture_id,
        image_id=normal.image_id,
        image_uri=normal.image_uri,
        mask_uri="",
        mask_sha256="",
        role=MemberRole.NORMAL,
        use=use_of(normal.capture_id, held_out_share=policy.held_out_normals_share),
        weight=1.0,
    )


def _labelled_member(row: LedgerRow, policy: FreezePolicy, weight: float) -> TrainingMember:
    return TrainingMember(
        capture_id=row.capture_id,
        image_id=row.image_id,
        image_uri=row.image_uri,
        mask_uri=row.mask_uri,
        mask_sha256=row.mask_sha256,
        role=MemberRole.DEFECT if row.is_defect else MemberRole.GOOD,
        use=use_of(row.capture_id, held_out_share=policy.held_out_share),
        weight=weight,
    )


def use_of(capture_id: str, *, held_out_share: float) -> MemberUse:
    """Assign a use by the hash of the capture id."""
    fraction = int(sha256_hex(capture_id.encode())[:8], 16) / 2**32
    if fraction < held_out_share / 2:
        return MemberUse.CHECK
    return MemberUse.CALIBRATE if fraction < held_out_share else MemberUse.TRAIN


def _distinct(members: Iterable[TrainingMember]) -> list[TrainingMember]:
    """Keep one member of each image: a normal, or the lowest id."""
    kept: dict[str, TrainingMember] = {}
    for member in sorted(members, key=lambda member: (member.role is not MemberRole.NORMAL, member.capture_id)):
        kept.setdefault(member.image_id, member)
    return list(kept.values())
