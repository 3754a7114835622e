"""Weights of a line: what served, why, and what was refused.

Read from pointers, manifests, records of runs and of fits, holds and brakes. No image and no Parquet is read.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from siad.audit.lineage import LineLineage, WeightsLineage, read_lineage
from siad.contracts import keys
from siad.contracts.documents import read_line
from siad.contracts.errors import MissingError
from siad.contracts.events import SegmenterStatus, WeightsKind
from siad.contracts.learning import LearningHold, LearningMode, why_not_learning
from siad.contracts.place import Place
from siad.contracts.pointer import Pointer
from siad.contracts.refits import RefitRecord
from siad.contracts.training_runs import RunState
from siad.erasure.weights import read_record
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.port import Blobs
from siad.runtime.store.brakes import StoredBrakes, StoredHolds
from siad.runtime.store.runs import StoredRuns
from siad.runtime.store.thresholds import stored_threshold_set
from siad.vision.gate import judge_release

SHOWN_MAX: Final = 30  # weights, and runs, of a place: the newest


@dataclass(frozen=True, slots=True, kw_only=True)
class DecidedWeights:
    """Decision about some weights, by the gate or the judge."""

    accepted: bool
    text: str  # reasons, one line
    at: datetime
    origin: str  # name of the run, or cause of the fit
    figures: tuple[tuple[str, float], ...]  # sorted by name; empty where nothing was compared


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsEntry:
    """One set of weights."""

    lineage: WeightsLineage
    state: str  # judges, in service, served before, left by a rollback, in quarantine, refused, or never released
    since_at: datetime | None  # of its state where it is in service; else of the decision; None: unknown
    decision: DecidedWeights | None
    threshold: float | None  # that it has now, where one was set after its release
    may_return: bool  # a rollback may name it


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceWeights:
    """Weights, runs and learning of one line and product."""

    place: Place
    judges: WeightsEntry | None
    entries: tuple[WeightsEntry, ...]  # newest first
    runs: tuple[RunState, ...]  # newest first
    hold: LearningHold | None
    paused: str  # why it learns nothing; empty where it does


async def read_weights(blobs: AsyncBlobs, line: str) -> list[PlaceWeights]:
    """Read the weights of a line, by product.

    Raises:
        CorruptError: the record of a run, a hold or a brake can't be read.
        TransientError: the store is unavailable.
    """
    lineage = await blobs.run(read_lineage, blobs.blobs, line)
    products = sorted({product for _, product in lineage.pointers})
    mode = await blobs.run(_mode, blobs.blobs, line)
    return list(await asyncio.gather(*(_read_place(blobs, lineage, Place(line, one), mode) for one in products)))


async def _read_place(blobs: AsyncBlobs, lineage: LineLineage, place: Place, mode: LearningMode) -> PlaceWeights:
    runs = await StoredRuns(blobs).read(place)
    hold, brake = await StoredHolds(blobs).read(place), await StoredBrakes(blobs).read(place)
    decisions = {**decided_runs(runs), **decided_fits(await blobs.run(_fits, blobs.blobs, place))}
    pointers = {kind: pointer for (kind, product), pointer in lineage.pointers.items() if product == place.product}
    found = [
        _entry(one, pointers, decisions.get(one.weights))
        for one in lineage.weights.values()
        if one.product == place.product
    ]
    shown = sorted(found, key=_rank, reverse=True)[:SHOWN_MAX]
    entries = await asyncio.gather(*(blobs.run(_with_threshold, blobs.blobs, place, one) for one in shown))
    return PlaceWeights(
        place=place,
        judges=next((one for one in entries if one.state == "judges"), None),
        entries=tuple(entries),
        runs=tuple(reversed(runs))[:SHOWN_MAX],
        hold=hold if hold is not None and hold.is_on else None,
        paused=why_not_learning(mode, brake, line=place.line, hold=hold),
    )


def decided_runs(runs: Iterable[RunState]) -> dict[str, DecidedWeights]:
    """Give the judgement of each candidate, by its weights."""
    found = {}
    for run in runs:
        if run.judgement is None or run.report is None:
            continue
        found[run.report.weights] = DecidedWeights(
            accepted=bool(run.candidate),
            text=run.judgement.reason,
            at=run.judgement.judged_at,
            origin=run.spec.run,
            figures=_figures_of(run),
        )
    return found


def _figures_of(run: RunState) -> tuple[tuple[str, float], ...]:
    """Figures of a candidate on held-out captures, and those of the gate."""
    report = run.report
    assert report is not None, "only a candidate has figures"
    own = {"image_auroc": report.candidate.image_auroc, "pixel_ap": report.candidate.pixel_ap}
    gate = {} if report.evidence is None else dict(judge_release(report.evidence).figures)
    return tuple(sorted({**own, **gate}.items()))


def decided_fits(fits: Iterable[RefitRecord]) -> dict[str, DecidedWeights]:
    """Give the last decision about each fit, by its weights."""
    return {
        fit.weights: DecidedWeights(
            accepted=fit.decision.accepted,
            text=fit.decision.text,
            at=fit.ended_at,
            origin=fit.cause.value,
            figures=fit.decision.figures,
        )
        for fit in sorted(fits, key=lambda fit: fit.number)
    }


def _fits(blobs: Blobs, place: Place) -> list[RefitRecord]:
    records = (read_record(blobs, RefitRecord, info.key) for info in blobs.list(keys.refits_prefix(*place)))
    return [one for one in records if one is not None]


def _entry(
    lineage: WeightsLineage, pointers: Mapping[WeightsKind, Pointer], decision: DecidedWeights | None
) -> WeightsEntry:
    pointer = pointers.get(lineage.kind)
    judges = judging_weights(pointers)
    is_pointed = pointer is not None and lineage.weights == pointer.weights
    state = state_of(lineage, pointer, judges, is_refused=decision is not None and not decision.accepted)
    decided_at = None if decision is None else decision.at
    since_at = pointer.released_at if pointer is not None and is_pointed else decided_at
    may_return = lineage.state != "never released" and lineage.weights != judges and not lineage.in_quarantine
    return WeightsEntry(
        lineage=lineage, state=state, since_at=since_at, decision=decision, threshold=None, may_return=may_return
    )


def judging_weights(pointers: Mapping[WeightsKind, Pointer]) -> str:
    """Name the segmenter that judges, or else the teacher."""
    for kind in (WeightsKind.SEGMENTER, WeightsKind.TEACHER):
        if (pointer := pointers.get(kind)) is not None and pointer.status is SegmenterStatus.SERVING:
            return pointer.weights
    return ""


def state_of(lineage: WeightsLineage, pointer: Pointer | None, judges: str, *, is_refused: bool = False) -> str:
    """Say in a word or two where weights are."""
    if lineage.weights == judges:
        return "judges"
    if lineage.in_quarantine:
        return "in quarantine"
    if pointer is not None and lineage.weights in pointer.rejected:
        return "left by a rollback"
    if lineage.state == "never released" and is_refused:
        return "refused"
    return "in service" if lineage.state == "serving" else lineage.state


def _rank(entry: WeightsEntry) -> tuple[bool, bool, float, str]:
    """What judges first, then what serves, then by time."""
    at = 0.0 if entry.since_at is None else entry.since_at.timestamp()
    return entry.state == "judges", entry.state == "in service", at, entry.lineage.weights


def _with_threshold(blobs: Blobs, place: Place, entry: WeightsEntry) -> WeightsEntry:
    found = stored_threshold_set(blobs, place, entry.lineage.weights)
    return entry if found is None else replace(entry, threshold=found.image_threshold)


def _mode(blobs: Blobs, line: str) -> LearningMode:
    try:
        return LearningMode.of(read_line(blobs.get(keys.line_pointer_key(line)).data).settings.learning)
    except MissingError:
        return LearningMode.AUTO
