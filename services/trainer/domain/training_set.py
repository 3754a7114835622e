"""How a training set is frozen: which captures, for what, and how much each counts. Pure.

Two captures of equal bytes count once, so nothing that is held out was trained on under another name.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from services.trainer.domain.ledger import LedgerRow, newest_opinions
from siad.contracts.ids import sha256_hex
from siad.contracts.json_codec import write_json


class MemberRole(StrEnum):
    """What is believed of a capture."""

    NORMAL = "normal"  # somebody said so: its mask is all good
    GOOD = "good"  # the teacher saw nothing, clearly
    DEFECT = "defect"  # the teacher marked something, clearly


class MemberUse(StrEnum):
    """What a capture is for; a hash of its id says so, for ever."""

    TRAIN = "train"
    CALIBRATE = "calibrate"  # sets the thresholds
    CHECK = "check"  # seen by nothing but the examination of the candidate


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
    weight: float  # 0..1, how far the mask is believed


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalCapture:
    """A capture known to be good."""

    capture_id: str
    image_id: str
    image_uri: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSet:
    """A frozen, named list of captures, sorted by capture id."""

    members: tuple[TrainingMember, ...]

    @property
    def digest(self) -> str:
        """The name: SHA-256 over the rows as canonical JSON. Offsets, files and clocks are not in it."""
        return sha256_hex(write_json(self.members))

    def count(self, role: MemberRole, *uses: MemberUse) -> int:
        """How many members of a role there are; of any use where none is named."""
        return sum(member.role is role and (not uses or member.use in uses) for member in self.members)


@dataclass(frozen=True, slots=True, kw_only=True)
class FreezePolicy:
    """What goes into a training set; ``benchmarks/segmenter.py`` measures what the shares are worth."""

    members_max: int = 400
    normals_max: int = 100
    normals_min: int = 10
    defects_min: int = 8  # to train on
    held_out_defects_min: int = 4  # fewer say nothing about a candidate
    held_out_goods_min: int = 5  # to calibrate on, and again to check by
    good_share: float = 0.7  # of what the teacher passed, the lowest scores; the rest may be missed defects
    defect_share: float = 0.9  # of what it marked, the highest scores; the rest may be false alarms
    held_out_share: float = 0.3  # of the teacher's captures, half to calibrate, half to check
    held_out_normals_share: float = 0.6  # of the normals: the only sure word there is, so most of it judges


@dataclass(frozen=True, slots=True, kw_only=True)
class TooFewCaptures:
    """Why no training set can be frozen yet."""

    reason: str


def freeze(
    rows: Iterable[LedgerRow], normals: Sequence[NormalCapture], *, teachers: Sequence[str], policy: FreezePolicy
) -> TrainingSet | TooFewCaptures:
    """Choose the captures to learn from.

    Args:
        rows: the ledger, in the order of its files.
        normals: captures known to be good.
        teachers: weights of the line's teachers, newest first.
        policy: shares, limits and minima.

    Returns:
        The set, the same for the same captures in any order; or what is missing.
    """
    known = {normal.capture_id for normal in normals}
    opinions = [row for row in newest_opinions(rows, teachers) if row.capture_id not in known]
    sure = [_normal(normal, policy) for normal in _lowest_hash(normals)[: policy.normals_max]]
    room = policy.members_max - len(sure)
    defects = _newest(_defects(opinions, policy), room // 2)
    goods = _newest(_goods(opinions, policy), room - len(defects))
    drawn = _distinct([*sure, *(_drawn(row, policy, weight) for row, weight in (*goods, *defects))])
    chosen = TrainingSet(members=tuple(sorted(drawn, key=lambda member: member.capture_id)))
    missing = _missing(chosen, policy)
    return TooFewCaptures(reason=missing) if missing else chosen


def _missing(chosen: TrainingSet, policy: FreezePolicy) -> str:
    wanted = (
        ("normals", chosen.count(MemberRole.NORMAL), policy.normals_min),
        ("clear defects to train on", chosen.count(MemberRole.DEFECT, MemberUse.TRAIN), policy.defects_min),
        ("clear defects held out", chosen.count(MemberRole.DEFECT, *HELD_OUT), policy.held_out_defects_min),
        ("good captures to calibrate on", _good(chosen, MemberUse.CALIBRATE), policy.held_out_goods_min),
        ("good captures to check by", _good(chosen, MemberUse.CHECK), policy.held_out_goods_min),
    )
    return ", ".join(f"{found} {what}, {least} needed" for what, found, least in wanted if found < least)


def _good(chosen: TrainingSet, use: MemberUse) -> int:
    return chosen.count(MemberRole.NORMAL, use) + chosen.count(MemberRole.GOOD, use)


def _goods(rows: Iterable[LedgerRow], policy: FreezePolicy) -> list[tuple[LedgerRow, float]]:
    """Clearly good, lowest score first, with how far each is believed."""
    ranked = sorted((row for row in rows if not row.is_defect), key=lambda row: (row.score, row.capture_id))
    return _believed(ranked[: round(len(ranked) * policy.good_share)])


def _defects(rows: Iterable[LedgerRow], policy: FreezePolicy) -> list[tuple[LedgerRow, float]]:
    """Clearly defective, highest score first, likewise; an empty mask marks nothing and is left out."""
    marked = (row for row in rows if row.is_defect and row.defect_ratio > 0)
    ranked = sorted(marked, key=lambda row: (-row.score, row.capture_id))
    return _believed(ranked[: round(len(ranked) * policy.defect_share)])


def _believed(ranked: Sequence[LedgerRow]) -> list[tuple[LedgerRow, float]]:
    """By the mask's confidence, never under a quarter: what is chosen here is clear enough to teach something."""
    return [(row, round(0.25 + 0.75 * row.confidence, 4)) for row in ranked]


def _newest(rows: list[tuple[LedgerRow, float]], count: int) -> list[tuple[LedgerRow, float]]:
    """The ``count`` that came last: the line as it is now."""
    return sorted(rows, key=lambda one: (one[0].received_at, one[0].capture_id), reverse=True)[:count]


def _lowest_hash(normals: Sequence[NormalCapture]) -> list[NormalCapture]:
    """A random but lasting order, so that a hundred of a thousand stay the same hundred."""
    return sorted(normals, key=lambda normal: sha256_hex(normal.capture_id.encode()))


def _normal(normal: NormalCapture, policy: FreezePolicy) -> TrainingMember:
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


def _drawn(row: LedgerRow, policy: FreezePolicy, weight: float) -> TrainingMember:
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
    """What a capture is for: its id's hash, as a fraction of 1, falls into check, calibrate or train."""
    place = int(sha256_hex(capture_id.encode())[:8], 16) / 2**32
    if place < held_out_share / 2:
        return MemberUse.CHECK
    return MemberUse.CALIBRATE if place < held_out_share else MemberUse.TRAIN


def _distinct(members: Iterable[TrainingMember]) -> list[TrainingMember]:
    """One member an image; a normal before what a teacher thought, then the lowest capture id."""
    kept: dict[str, TrainingMember] = {}
    for member in sorted(members, key=lambda member: (member.role is not MemberRole.NORMAL, member.capture_id)):
        kept.setdefault(member.image_id, member)
    return list(kept.values())
