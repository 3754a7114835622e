"""Training sets: which captures, in which role, with which weight. Pure.

Captures with equal bytes count once, so that a held-out image was never trained on under another capture id. What a
person said about a capture replaces what a teacher drew on it, and what its sender said.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from services.trainer.domain.corrections import CorrectionRow, latest_corrections
from services.trainer.domain.ledger import LedgerRow, rows_of_newest_teacher
from siad.contracts.corrections import CorrectionVerdict
from siad.contracts.events import ImageStored
from siad.contracts.ids import sha256_hex
from siad.contracts.json_codec import OMIT_IF_DEFAULT, write_json


class MemberRole(StrEnum):
    """Label of a capture."""

    NORMAL = "normal"  # sent or corrected as good: its mask is empty
    GOOD = "good"  # scored clearly under the teacher's threshold
    DEFECT = "defect"  # corrected as a defect; or scored clearly over the threshold, and marked


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

    @property
    def is_corrected(self) -> bool:
        """Whether a person gave its role."""
        return self.revision > 0

    @property
    def has_pixels(self) -> bool:
        """Whether every pixel has a label."""
        return bool(self.mask_uri) or self.role is not MemberRole.DEFECT


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
    corrections_max: int = 150  # the last ones that people made
    held_out_corrections_share: float = 0.3  # of the corrected captures, all for the check
    unoutlined_weight: float = 0.5  # of the teacher's marks on a defect that a person confirmed without an outline


@dataclass(frozen=True, slots=True, kw_only=True)
class TooFewCaptures:
    """Which captures are missing for a training set."""

    reason: str


def freeze(
    rows: Iterable[LedgerRow],
    normals: Sequence[NormalCapture],
    corrections: Iterable[CorrectionRow] = (),
    *,
    teachers: Sequence[str],
    policy: FreezePolicy,
) -> TrainingSet | TooFewCaptures:
    """Choose the members of a training set.

    Args:
        rows: the ledger's pseudo-masks, in the order of its files.
        normals: captures known to be good.
        corrections: the ledger's corrections, in any order.
        teachers: weights of the line's teachers, newest first.
        policy: shares, limits and minima.

    Returns:
        The set, the same for the same captures in any order, or what is missing.
    """
    corrected = latest_corrections(corrections)
    known = corrected.keys() | {normal.capture_id for normal in normals}
    drawn = rows_of_newest_teacher(rows, teachers)
    labelled = [row for row in drawn if row.capture_id not in known]
    sent = [normal for normal in normals if normal.capture_id not in corrected]
    certain = [
        *_corrected_members(corrected.values(), {row.capture_id: row for row in drawn}, policy),
        *(_normal_member(normal, policy) for normal in _by_hash(sent)[: policy.normals_max]),
    ]
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
        ("clear defects for training", _count_marked(chosen), policy.defects_min),
        ("clear defects held out", chosen.count(MemberRole.DEFECT, *HELD_OUT), policy.held_out_defects_min),
        ("good captures for calibration", _count_goods(chosen, MemberUse.CALIBRATE), policy.held_out_goods_min),
        ("good captures for the check", _count_goods(chosen, MemberUse.CHECK), policy.held_out_goods_min),
    )
    return ", ".join(f"{found} {name}, {least} needed" for name, found, least in minima if found < least)


def _count_goods(chosen: TrainingSet, use: MemberUse) -> int:
    return chosen.count(MemberRole.NORMAL, use) + chosen.count(MemberRole.GOOD, use)


def _count_marked(chosen: TrainingSet) -> int:
    marked = (member for member in chosen.members if member.role is MemberRole.DEFECT and member.has_pixels)
    return sum(member.use is MemberUse.TRAIN for member in marked)


def _clear_goods(rows: Iterable[LedgerRow], policy: FreezePolicy) -> list[tuple[LedgerRow, float]]:
    """Choose the lowest scores under the threshold, with their weights."""
    ranked = sorted((row for row in rows if not row.is_defect), key=lambda row: (row.score, row.capture_id))
    return _weighted(ranked[: round(len(ranked) * policy.good_share)])


def _clear_defects(rows: Iterable[LedgerRow], policy: FreezePolicy) -> list[tuple[LedgerRow, float]]:
    """Choose the highest scores over the threshold, without empty masks."""
    marked = (row for row in rows if row.is_marked)
    ranked = sorted(marked, key=lambda row: (-row.score, row.capture_id))
    return _weighted(ranked[: round(len(ranked) * policy.defect_share)])


def _weighted(ranked: Sequence[LedgerRow]) -> list[tuple[LedgerRow, float]]:
    return [(row, _weight(row)) for row in ranked]


def _weight(row: LedgerRow) -> float:
    """Weigh a row by its mask's confidence, 0.25 to 1."""
    return round(0.25 + 0.75 * row.confidence, 4)


def _newest(rows: list[tuple[LedgerRow, float]], count: int) -> list[tuple[LedgerRow, float]]:
    """Keep the ``count`` last received: the line as it is now."""
    return sorted(rows, key=lambda weighted: (weighted[0].received_at, weighted[0].capture_id), reverse=True)[:count]


def _by_hash(normals: Sequence[NormalCapture]) -> list[NormalCapture]:
    """Order normals by hash, so that the first hundred stay the same."""
    return sorted(normals, key=lambda normal: sha256_hex(normal.capture_id.encode()))


def _corrected_members(
    corrections: Iterable[CorrectionRow], drawn: Mapping[str, LedgerRow], policy: FreezePolicy
) -> list[TrainingMember]:
    """Make members of the captures that people are sure about, newest first."""
    sure = [row for row in corrections if row.verdict in (CorrectionVerdict.GOOD, CorrectionVerdict.DEFECT)]
    newest = sorted(sure, key=lambda row: (row.corrected_at, row.capture_id), reverse=True)
    return [_corrected_member(row, drawn.get(row.capture_id), policy) for row in newest[: policy.corrections_max]]


def _corrected_member(row: CorrectionRow, drawn: LedgerRow | None, policy: FreezePolicy) -> TrainingMember:
    """Make a member of a corrected capture.

    A defect without an outline trains on the teacher's marks, at a lower weight, if there are any: a person has
    confirmed that there is a defect, but not where. Held out it has no mask, because such marks are no reference.
    """
    is_defect = row.verdict is CorrectionVerdict.DEFECT
    is_held_out = _fraction(row.capture_id) < policy.held_out_corrections_share
    mask_uri, mask_sha256, weight = row.mask_uri, row.mask_sha256, 1.0
    if is_defect and not mask_uri and not is_held_out and drawn is not None and drawn.is_marked:
        mask_uri, mask_sha256 = drawn.mask_uri, drawn.mask_sha256
        weight = round(policy.unoutlined_weight * _weight(drawn), 4)
    return TrainingMember(
        capture_id=row.capture_id,
        image_id=row.image_id,
        image_uri=row.image_uri,
        mask_uri=mask_uri if is_defect else "",
        mask_sha256=mask_sha256 if is_defect else "",
        role=MemberRole.DEFECT if is_defect else MemberRole.NORMAL,
        use=MemberUse.CHECK if is_held_out else MemberUse.TRAIN,
        weight=weight,
        revision=row.revision,
    )


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
    fraction = _fraction(capture_id)
    if fraction < held_out_share / 2:
        return MemberUse.CHECK
    return MemberUse.CALIBRATE if fraction < held_out_share else MemberUse.TRAIN


def _fraction(capture_id: str) -> float:
    """Hash a capture id to 0..1."""
    return int(sha256_hex(capture_id.encode())[:8], 16) / 2**32


def _distinct(members: Iterable[TrainingMember]) -> list[TrainingMember]:
    """Keep one member of each image: corrected, normal, or lowest id."""
    kept: dict[str, TrainingMember] = {}

    def precedence(member: TrainingMember) -> tuple[bool, bool, str]:
        return not member.is_corrected, member.role is not MemberRole.NORMAL, member.capture_id

    for member in sorted(members, key=precedence):
        kept.setdefault(member.image_id, member)
    return list(kept.values())
