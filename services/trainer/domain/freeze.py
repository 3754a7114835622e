"""Freezing of a training set: captures, roles and weights. Pure.

Captures with equal bytes count once, and related captures are on one side of the split
(``siad.contracts.split``), so that a held-out image was never trained on under another capture id. What a
person said about a capture replaces what a teacher drew on it, and what its sender said.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from services.trainer.domain.corrections import CorrectionRow
from services.trainer.domain.ledger import LedgerRow, rows_of_newest_teacher
from services.trainer.domain.replay import choose_corrections, choose_replayed, newest_first
from services.trainer.domain.training_set import (
    HELD_OUT,
    FreezePolicy,
    MemberRole,
    MemberUse,
    NormalCapture,
    TooFewCaptures,
    TrainingMember,
    TrainingSet,
    use_of,
)
from siad.contracts.corrections import CorrectionVerdict, Selection, latest_corrections
from siad.contracts.ids import sha256_hex
from siad.contracts.split import SplitSubject, leave_out, split_names


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
    sides = _Sides.of(drawn, sent, corrected.values(), policy)
    certain = [
        *_corrected_members(corrected.values(), {row.capture_id: row for row in drawn}, sides),
        *(_normal_member(normal, sides) for normal in _by_hash(sent)[: policy.normals_max]),
    ]
    room = policy.members_max - len(certain)
    defects = choose_replayed(_clear_defects(labelled, policy), room // 2, older_share=policy.older_share)
    clear = _clear_goods(labelled, policy)
    goods = choose_replayed(clear, room - len(defects), older_share=policy.older_share)
    members = _distinct([*certain, *(_labelled_member(row, sides) for row in (*goods, *defects))])
    unclear = _unclear_members(labelled, {row.capture_id for row in (*clear, *_clear_defects(labelled, policy))}, sides)
    related = _distinct([*members, *unclear])
    kept = sides.without_crossings(related)
    chosen = TrainingSet(members=tuple(sorted(kept, key=lambda member: member.capture_id)))
    missing = _missing(chosen, policy)
    return TooFewCaptures(reason=missing) if missing else chosen


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sides:
    """Sides of the split, and what relates captures."""

    policy: FreezePolicy
    serials: Mapping[str, str]
    hashes: Mapping[str, str]
    names: Mapping[str, str]

    @classmethod
    def of(
        cls,
        drawn: Sequence[LedgerRow],
        sent: Sequence[NormalCapture],
        corrected: Iterable[CorrectionRow],
        policy: FreezePolicy,
    ) -> "_Sides":
        serials = {row.capture_id: row.serial for row in drawn}
        serials |= {normal.capture_id: normal.serial for normal in sent}
        serials |= {row.capture_id: row.serial for row in corrected}
        hashes = {row.capture_id: row.image_hash for row in drawn}
        return cls(policy=policy, serials=serials, hashes=hashes, names=split_names(serials))

    def use_of(self, capture_id: str, *, held_out_share: float) -> MemberUse:
        return use_of(self.names[capture_id], held_out_share=held_out_share)

    def without_crossings(self, members: Sequence[TrainingMember]) -> list[TrainingMember]:
        """Leave out members that are related to one on the other side."""
        gone = leave_out([self._subject(member) for member in members])
        return [member for member in members if member.capture_id not in gone]

    def _subject(self, member: TrainingMember) -> SplitSubject:
        return SplitSubject(
            capture_id=member.capture_id,
            serial=self.serials[member.capture_id],
            image_hash=self.hashes.get(member.capture_id, ""),
            is_held_out=member.use is not MemberUse.TRAIN,
            rank=2 if member.is_corrected else int(member.role is MemberRole.NORMAL),
        )


def _missing(chosen: TrainingSet, policy: FreezePolicy) -> str:
    minima = (
        ("normals", chosen.count(MemberRole.NORMAL), policy.normals_min),
        ("clear defects for training", _count_marked(chosen), policy.defects_min),
        ("clear defects held out", chosen.count(MemberRole.DEFECT, *HELD_OUT), policy.held_out_defects_min),
        ("good captures for calibration", _count_goods(chosen, MemberUse.CALIBRATE), policy.held_out_goods_min),
        ("good captures for the check", _count_goods(chosen, MemberUse.CHECK), policy.held_out_goods_min),
    )
    return ", ".join(f"{name} (has {found} of {least})" for name, found, least in minima if found < least)


def _count_goods(chosen: TrainingSet, use: MemberUse) -> int:
    return chosen.count(MemberRole.NORMAL, use) + chosen.count(MemberRole.GOOD, use)


def _count_marked(chosen: TrainingSet) -> int:
    marked = (member for member in chosen.members if member.role is MemberRole.DEFECT and member.has_pixels)
    return sum(member.use is MemberUse.TRAIN for member in marked)


def _clear_goods(rows: Iterable[LedgerRow], policy: FreezePolicy) -> list[LedgerRow]:
    """Choose the lowest scores under the threshold."""
    ranked = sorted((row for row in rows if not row.is_defect), key=lambda row: (row.score, row.capture_id))
    return ranked[: round(len(ranked) * policy.good_share)]


def _clear_defects(rows: Iterable[LedgerRow], policy: FreezePolicy) -> list[LedgerRow]:
    """Choose the highest scores over the threshold, without empty masks."""
    marked = (row for row in rows if row.is_marked)
    ranked = sorted(marked, key=lambda row: (-row.score, row.capture_id))
    return ranked[: round(len(ranked) * policy.defect_share)]


def _weight(row: LedgerRow) -> float:
    """Weigh a row by its mask's confidence, 0.25 to 1."""
    return round(0.25 + 0.75 * row.confidence, 4)


def _by_hash(normals: Sequence[NormalCapture]) -> list[NormalCapture]:
    """Order normals by hash, so that the first hundred stay the same."""
    return sorted(normals, key=lambda normal: sha256_hex(normal.capture_id.encode()))


def _corrected_members(
    corrections: Iterable[CorrectionRow], drawn: Mapping[str, LedgerRow], sides: _Sides
) -> list[TrainingMember]:
    """Make members of the captures that people are sure about.

    Where there are more than fit, older ones of every kind stay, as of the pseudo-masks.
    """
    sure = [row for row in corrections if row.verdict in (CorrectionVerdict.GOOD, CorrectionVerdict.DEFECT)]
    kept = choose_corrections(sure, sides.policy.corrections_max, older_share=sides.policy.older_share)
    return [_corrected_member(row, drawn.get(row.capture_id), sides) for row in kept]


def _corrected_member(row: CorrectionRow, drawn: LedgerRow | None, sides: _Sides) -> TrainingMember:
    """Make a member of a corrected capture.

    A defect without an outline trains on the teacher's marks, at a lower weight, if there are any: a person has
    confirmed that there is a defect, but not where. Held out it has no mask, because such marks are no reference.
    """
    is_defect = row.verdict is CorrectionVerdict.DEFECT
    side = sides.use_of(row.capture_id, held_out_share=sides.policy.held_out_corrections_share)
    is_held_out = side is not MemberUse.TRAIN
    mask_uri, mask_sha256, weight = row.mask_uri, row.mask_sha256, 1.0
    if is_defect and not mask_uri and not is_held_out and drawn is not None and drawn.is_marked:
        mask_uri, mask_sha256 = drawn.mask_uri, drawn.mask_sha256
        weight = round(sides.policy.unoutlined_weight * _weight(drawn), 4)
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
        is_drawn=row.selection is Selection.RANDOM,
    )


def _normal_member(normal: NormalCapture, sides: _Sides) -> TrainingMember:
    return TrainingMember(
        capture_id=normal.capture_id,
        image_id=normal.image_id,
        image_uri=normal.image_uri,
        mask_uri="",
        mask_sha256="",
        role=MemberRole.NORMAL,
        use=sides.use_of(normal.capture_id, held_out_share=sides.policy.held_out_normals_share),
        weight=1.0,
    )


def _labelled_member(row: LedgerRow, sides: _Sides) -> TrainingMember:
    return TrainingMember(
        capture_id=row.capture_id,
        image_id=row.image_id,
        image_uri=row.image_uri,
        mask_uri=row.mask_uri,
        mask_sha256=row.mask_sha256,
        role=MemberRole.DEFECT if row.is_defect else MemberRole.GOOD,
        use=sides.use_of(row.capture_id, held_out_share=sides.policy.held_out_share),
        weight=_weight(row),
    )


def _unclear_members(rows: Iterable[LedgerRow], clear: Collection[str], sides: _Sides) -> list[TrainingMember]:
    """Hold out the newest captures that are neither clearly good nor marked.

    Without a label: they show in which order networks put the captures of the line, near the threshold too.
    """
    others = (_labelled_member(row, sides) for row in newest_first(rows) if row.capture_id not in clear)
    held_out = (member for member in others if member.use is MemberUse.CHECK)
    return [
        replace(member, mask_uri="", mask_sha256="", role=MemberRole.UNCLEAR, weight=0.0)
        for member in islice(held_out, sides.policy.unclear_max)
    ]


def _distinct(members: Iterable[TrainingMember]) -> list[TrainingMember]:
    """Keep one member of each image: corrected, normal, or lowest id."""
    kept: dict[str, TrainingMember] = {}

    def precedence(member: TrainingMember) -> tuple[bool, bool, str]:
        return not member.is_corrected, member.role is not MemberRole.NORMAL, member.capture_id

    for member in sorted(members, key=precedence):
        kept.setdefault(member.image_id, member)
    return list(kept.values())
