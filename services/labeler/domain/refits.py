"""Rules of refits: what is learned, and what is released. Pure.

A refit learns confirmed normals and, of the lowest-scoring half of the stream, what is under its threshold and has no
answer. Three in ten captures, by the hash of their serial or id, are held out: no teacher learns them or a
near-duplicate, so that the gate can compare on them.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from siad.contracts.corrections import CaptureCorrected, CorrectionVerdict
from siad.contracts.events import ImageStored
from siad.contracts.ids import sha256_hex
from siad.contracts.methods import FEATURE_MEMORY
from siad.contracts.refits import FitCounts, RefitCause, RefitRecord
from siad.contracts.release_evidence import EvidenceKind, GateDecision, GateEvidence
from siad.contracts.split import SplitSubject, fraction_of, leave_out, split_names
from siad.contracts.stream_scores import StreamScore
from siad.vision.gate import balance_after_release, judge_release
from siad.vision.gate_rule import DEFAULT_POLICY, GatePolicy

HELD_OUT_SHARE: Final = 0.3  # of the captures; the trainer's training sets hold out the same ones, by the same names
LOWEST_SHARE: Final = 0.5  # of all inspected; 70%, or all with rejection of odd patches, measured no better
STREAM_MAX: Final = 100  # captures of the stream that a teacher learns; the banks keep their size
GOODS_MAX: Final = 50  # captures confirmed good that it learns, the newest
EVIDENCE_MAX: Final = 60  # held-out captures of the stream, the newest
CORRECTED_MAX: Final = 40  # corrected captures held out, the newest of each verdict
NORMALS_HELD_OUT_MAX: Final = 40  # normals that no fit takes, the newest
STREAM_STEPS: Final = (50, 100, 200, 500)  # captures scored in all; then at every doubling
GOODS_STEP: Final = 10
STREAM_METHODS: Final = (FEATURE_MEMORY,)  # the others set their threshold on a third of what they are fitted on


def why_no_stream(method: str) -> str:
    """Say why refits of a method learn nothing of the stream.

    Empty where they do.
    """
    if method in STREAM_METHODS:
        return ""
    return (
        f"refits of {method} learn normals and captures confirmed good, and nothing of the stream: it sets its "
        f"threshold on a third of what it is fitted on. {', '.join(STREAM_METHODS)} learns the stream"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedCaptures:
    """Captures that a refit learns and is compared on, by their ids."""

    goods: tuple[CaptureCorrected, ...]  # confirmed good
    stream: tuple[str, ...]  # that scored low
    held_out: tuple[str, ...]  # of the stream
    corrected: tuple[CaptureCorrected, ...]  # held out, good and defective


def stream_step(captures: int) -> int:
    """Return the largest step that so many captures reach; 0 for none."""
    if captures < STREAM_STEPS[0]:
        return 0
    step = max(step for step in STREAM_STEPS if step <= captures)
    while step >= STREAM_STEPS[-1] and 2 * step <= captures:
        step *= 2
    return step


def growth_cause(before: FitCounts, now: FitCounts, *, normals_step: tuple[int, int]) -> RefitCause | None:
    """Name the count that reached a further step; None for none.

    Args:
        before: at the last fit.
        now: at present.
        normals_step: steps of normals, before and now.
    """
    if normals_step[1] > normals_step[0]:
        return RefitCause.NORMALS
    if now.goods // GOODS_STEP > before.goods // GOODS_STEP:
        return RefitCause.GOODS
    if stream_step(now.stream) > stream_step(before.stream):
        return RefitCause.STREAM
    return None


def is_held_out(name: str) -> bool:
    """Whether a name for the split holds its captures out."""
    return fraction_of(name) < HELD_OUT_SHARE


def choose_captures(
    rows: Sequence[StreamScore],
    corrections: Mapping[str, CaptureCorrected],
    *,
    known: Collection[str],
    learns_stream: bool,
) -> LearnedCaptures:
    """Choose what a refit learns and is compared on, besides normals.

    Args:
        rows: of the stream, oldest first.
        corrections: the latest of each capture, without deleted captures.
        known: captures that are normals, or deleted: no captures of the stream.
        learns_stream: whether the method can learn from the stream.
    """
    inspected = {row.capture_id: row for row in rows if row.capture_id not in known}
    newest = {name: row for name, row in inspected.items() if name not in corrections}
    names = split_names(
        {name: row.serial for name, row in newest.items()} | {name: one.serial for name, one in corrections.items()}
    )
    held_out = [row for row in newest.values() if is_held_out(names[row.capture_id])]
    low = [
        row
        for row in _lowest(inspected.values(), marked={row.capture_id for row in rows if row.is_defect})
        if row.capture_id in newest and not is_held_out(names[row.capture_id])
    ]
    near = leave_out([*(_subject(row, is_held_out=False) for row in low), *map(_held_out_subject, held_out)])
    learned = [row.capture_id for row in low if row.capture_id not in near]
    spread = sorted(learned, key=lambda capture_id: sha256_hex(capture_id.encode()))  # of all low scores alike
    goods = _newest(corrections.values(), CorrectionVerdict.GOOD)
    defects = _newest(corrections.values(), CorrectionVerdict.DEFECT)  # no teacher learns defects: all are held out
    return LearnedCaptures(
        goods=tuple(one for one in goods if not is_held_out(names[one.capture_id]))[:GOODS_MAX],
        stream=tuple(sorted(spread[:STREAM_MAX])) if learns_stream else (),
        held_out=tuple(row.capture_id for row in held_out)[-EVIDENCE_MAX:],
        corrected=(
            *[one for one in goods if is_held_out(names[one.capture_id])][:CORRECTED_MAX],
            *defects[:CORRECTED_MAX],
        ),
    )


def choose_held_out_normals(
    normals: Iterable[ImageStored], learned: Iterable[ImageStored], *, barred: Callable[[ImageStored], bool]
) -> list[ImageStored]:
    """Choose the newest normals that the fit does not take.

    To compare on. A fit takes all of few normals, so there are some only of very many.
    """
    known = {one.capture_id for one in learned}
    left = [one for one in normals if one.capture_id not in known and not barred(one)]
    return sorted(left, key=lambda one: (one.received_at, one.capture_id))[-NORMALS_HELD_OUT_MAX:]


def _lowest(inspected: Collection[StreamScore], *, marked: Collection[str]) -> list[StreamScore]:
    """List the lowest half of a stream; none of few captures.

    It is the half of all of them: people answer good ones first, and then the half of the others reaches the rejects.

    Args:
        inspected: one row of each capture.
        marked: captures that any teacher rejected: without an answer they are never taken for good.
    """
    if len(inspected) < STREAM_STEPS[0]:
        return []
    ranked = sorted(inspected, key=lambda row: (row.ratio, row.capture_id))
    return [row for row in ranked[: int(len(ranked) * LOWEST_SHARE)] if row.capture_id not in marked]


def _subject(row: StreamScore, *, is_held_out: bool) -> SplitSubject:
    return SplitSubject(
        capture_id=row.capture_id,
        serial=row.serial,
        image_hash=row.image_hash,
        is_held_out=is_held_out,
        rank=int(is_held_out),  # of two near-duplicates the one to learn is left out
    )


_held_out_subject = partial(_subject, is_held_out=True)


def _newest(corrections: Iterable[CaptureCorrected], verdict: CorrectionVerdict) -> list[CaptureCorrected]:
    chosen = [one for one in corrections if one.verdict is verdict]
    return sorted(chosen, key=lambda one: (one.corrected_at, one.capture_id), reverse=True)


def with_balance(evidence: GateEvidence, last: RefitRecord | None) -> GateEvidence:
    """Add what the releases before lost.

    A teacher that had to be released is a new reference.
    """
    if last is None or last.evidence is None or last.cause.must_release:
        return evidence
    if not last.decision.accepted:
        return replace(evidence, merit_balance=last.evidence.merit_balance)
    return replace(evidence, merit_balance=balance_after_release(last.evidence))


def judge_refit(cause: RefitCause, evidence: GateEvidence | None, policy: GatePolicy = DEFAULT_POLICY) -> GateDecision:
    """Decide whether a refit is released.

    A refit that must be released is judged too, so that its record says what it costs. More normals than before are
    released where nothing was inspected yet that could be compared: then no line gets worse that is known.
    """
    found = None if evidence is None else judge_release(evidence, policy)
    if cause.must_release:
        reason = f"must be released: {cause.must_release}"
        if found is None:
            return GateDecision(accepted=True, reasons=(reason,), unknown=("how it compares, nothing was compared",))
        return replace(
            found,
            accepted=True,
            reasons=(reason, *(found.reasons if found.accepted else ())),
            overruled=() if found.accepted else found.reasons,
        )
    if evidence is None or not _is_comparable(evidence, policy):
        is_certain = cause in (RefitCause.NORMALS, RefitCause.GOODS)
        reason = f"too few inspected captures to compare it with the teacher in service (cause: {cause.value})"
        return GateDecision(
            accepted=is_certain,
            reasons=("it learned more captures that people know to be good",) if is_certain else (reason,),
            unknown=(reason,) if is_certain else (),
        )
    assert found is not None, "evidence was judged"
    return found


def _is_comparable(evidence: GateEvidence, policy: GatePolicy) -> bool:
    """Whether the gate has something to go by."""
    kinds = [capture.kind for capture in evidence.captures]
    has_corrections = EvidenceKind.GOOD in kinds or EvidenceKind.DEFECT in kinds
    has_probes = evidence.candidate.probes is not None
    return has_corrections or has_probes or kinds.count(EvidenceKind.STREAM) >= policy.captures_min
