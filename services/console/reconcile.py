"""Publishes outstanding corrections, keeps thresholds, exports figures of lines.

A threshold is computed again at every answer, and after every ``STREAM_EVERY`` captures of the stream. It is stored
first, by conditional put, then published; after a crash in between, the next plan publishes what is stored.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import structlog

from services.console import metrics
from services.console.domain.book import CorrectionId
from services.console.domain.review import review_debt
from services.console.domain.thresholds import (
    AnnounceThreshold,
    ThresholdAction,
    ThresholdBasis,
    ThresholdState,
    WeightsScores,
    WithdrawThreshold,
    evidence_of,
    next_threshold,
    plan,
    scores_by_weights,
)
from services.console.handlers import ConsolePorts, on_estimates, present_captures, publish
from services.console.ports import PresentLines, ThresholdStore
from siad.contracts.errors import CorruptError, TransientError
from siad.contracts.events import LineChanged
from siad.contracts.expiry import NEVER
from siad.contracts.fit_settings import DEFAULT_BUDGET, FitSettings
from siad.contracts.ids import WeightsId
from siad.contracts.labelling import share_of
from siad.contracts.manifest import Manifest
from siad.contracts.place import Place
from siad.vision.sharpening import sharpen

log = structlog.get_logger()

UNIT: Final = "console/"  # begins the name of every unit of work: console/<line>/<product>
HELD_OUT_MIN: Final = 2  # scores; fewer say nothing of good ones
READS_MAX: Final = 64  # records read at a time
PUBLISHED_MAX: Final = 500  # corrections published at a time


async def heal(ports: ConsolePorts) -> None:
    """Enter what is stored and was never published into the book.

    Call it once the correction topic was read to its end: a record is stored before its event is published, so every
    event that was read has its record in the listing, unless the capture was erased.

    Raises:
        TransientError: the store is unavailable.
    """
    answered = await ports.projection.answered()  # before the listing, which then has the records of all that is left
    stored = await ports.corrections.names()
    ports.book.keep_stored(stored)
    captures = {(name.line, name.capture_id) for name in stored}
    await ports.projection.withdraw([name for name in answered if name not in captures])
    unread = ports.book.unread(stored)
    for start in range(0, len(unread), READS_MAX):
        await _enter(unread[start : start + READS_MAX], ports)
    if unread:
        log.info("corrections_outstanding", count=len(unread))


async def announce(ports: ConsolePorts) -> None:
    """Publish what is outstanding; what the broker does not take stays so."""
    outstanding = ports.book.outstanding()
    try:
        for start in range(0, len(outstanding), PUBLISHED_MAX):
            await publish(outstanding[start : start + PUBLISHED_MAX], ports)
    except TransientError as error:
        log.warning("corrections_wait", count=len(ports.book.outstanding()), reason=str(error))


async def forget(ports: ConsolePorts) -> None:
    """Remove captures that were erased or have expired, from every line.

    Readers leave them out before; this removes the rows.

    Raises:
        TransientError: the store or the database is unavailable.
    """
    for line in await ports.projection.lines():
        erased = await ports.projection.drop(line, await ports.erased.deletions(line))
        expiry = await ports.erased.expiry(line)
        expired = 0 if expiry.receipts_from == NEVER else await ports.projection.expire(line, expiry.receipts_from)
        if erased or expired:
            log.info("captures_removed", line=line, erased=erased, expired=expired)


async def _enter(names: Sequence[CorrectionId], ports: ConsolePorts) -> None:
    read = await asyncio.gather(*(ports.corrections.read(name) for name in names), return_exceptions=True)
    for name, found in zip(names, read, strict=True):
        if isinstance(found, CorruptError):  # one damaged record must not keep the others
            log.error("correction_unreadable", capture_id=name.capture_id, line=name.line, reason=str(found))
        elif isinstance(found, BaseException):
            raise found
        elif found is not None:
            ports.book.add(found, is_published=False)
            await ports.projection.add_corrections([found], is_published=False)


async def export_figures(lines: Iterable[LineChanged], ports: ConsolePorts) -> None:
    """Export the estimates and the review debt of every line.

    Raises:
        TransientError: the store is unavailable; the figures exported before stay.
    """
    found = []
    for line in lines:
        entries, latest = await present_captures(line.line, None, ports)
        debt = await asyncio.to_thread(review_debt, entries, latest.keys())
        found.append((line, debt, await on_estimates(line.line, ports)))
    for gauge in (metrics.BUDGET, metrics.REVIEW_DEBT, metrics.FALSE_REJECTS, metrics.RECALL):
        gauge.clear()  # lines end, and estimates with the weights that they are about
    for line, debt, estimates in found:
        metrics.BUDGET.labels(line.line).set(line.false_reject_budget)
        for place, captures in debt.items():
            metrics.REVIEW_DEBT.labels(*place).set(captures)
        for one in estimates:
            for gauge, bounds in (
                (metrics.FALSE_REJECTS, one.false_rejects and one.false_rejects.bounds),
                (metrics.RECALL, one.misses and one.misses.complement),
            ):
                for kind, ratio in (bounds or {}).items():
                    gauge.labels(*one.place, kind).set(ratio)


@dataclass(slots=True, kw_only=True)
class ThresholdReconciler:
    """Keeps the thresholds of the weights in service."""

    thresholds: ThresholdStore
    lines: PresentLines
    ports: ConsolePorts
    _announced: dict[WeightsId, int] = field(default_factory=dict)
    _computed: dict[WeightsId, ThresholdBasis] = field(default_factory=dict)
    _withdrawn: dict[WeightsId, int] = field(default_factory=dict)  # revisions

    async def names(self) -> list[str]:
        """Name a unit for each place with captures or thresholds."""
        announced = {Place(one.line, one.product) for one in self.ports.thresholds.all()}
        return [f"{UNIT}{place}" for place in sorted(announced | set(self.ports.window.places()))]

    async def observe(self, name: str) -> list[ThresholdState]:
        """Gather scores and answers, and read the thresholds in use."""
        place = Place.parse(name.removeprefix(UNIT))
        settings = self.lines.lookup(place.line)
        entries, latest = await present_captures(place.line, place.product, self.ports)
        share = share_of(0.0 if settings is None else settings.labelled_share)
        found = await asyncio.to_thread(scores_by_weights, entries, latest, labelled_share=share)
        on_topic = self._on_topic(place)
        miss_cost = 0.0 if settings is None else settings.miss_cost
        states = []
        for weights in (*found, *(on_topic.keys() - found.keys())):
            stored = await self.thresholds.read(place, weights)
            if stored is not None and weights not in found:
                continue  # out of service
            states.append(
                ThresholdState(
                    place=place,
                    weights=weights,
                    scores=found.get(weights, WeightsScores()),
                    miss_cost=miss_cost,
                    stored=None if stored is None else stored.threshold,
                    computed=self._computed.get(weights) if weights in found else _nothing(miss_cost),
                    on_topic=on_topic.get(weights, 0),
                )
            )
        return states

    def _on_topic(self, place: Place) -> dict[WeightsId, int]:
        """Revisions on the topic, without those whose withdrawal is on its way."""
        return {
            one.weights: one.revision
            for one in self.ports.thresholds.all()
            if (one.line, one.product) == place and self._withdrawn.get(one.weights) != one.revision
        }

    def plan(self, state: Sequence[ThresholdState], now: datetime) -> list[ThresholdAction]:  # noqa: ARG002 - a port
        """Decide what to publish and what to compute."""
        return plan(state, self._announced)

    async def act(self, name: str, action: ThresholdAction) -> None:  # noqa: ARG002 - a port
        """Publish or compute one threshold."""
        if isinstance(action, AnnounceThreshold):
            await self.thresholds.announce(action.threshold)
            self._announced[action.threshold.weights] = action.threshold.revision
        elif isinstance(action, WithdrawThreshold):
            await self.thresholds.withdraw(action.place, action.weights)
            self._announced.pop(action.weights, None)
            self._computed.pop(action.weights, None)
            self._withdrawn[action.weights] = action.revision
            log.info("threshold_withdrawn", line=action.place.line, product=action.place.product)
        else:
            await self._compute(action.state, action.basis)

    async def _compute(self, state: ThresholdState, basis: ThresholdBasis) -> None:
        manifest = await self.thresholds.manifest(state.place, state.weights)
        if len(manifest.held_out_scores) >= HELD_OUT_MIN:
            evidence = evidence_of(state, manifest, budget=await self._budget(manifest))
            in_use = manifest.image_threshold if state.stored is None else state.stored.image_threshold
            found = await asyncio.to_thread(sharpen, evidence, in_use=in_use)
            expected = await self.thresholds.read(state.place, state.weights)
            if (None if expected is None else expected.threshold) != state.stored:
                return  # another process moved it; the next plan computes from that
            threshold = next_threshold(state, found, self.ports.clock.now())
            if threshold is not None:
                await self.thresholds.put(threshold, expected)
                fields = {"line": threshold.line, "product": threshold.product, "weights": threshold.weights}
                log.info("threshold_set", threshold=threshold.image_threshold, reason=threshold.reason, **fields)
                self.ports.answered.set()  # to publish it now
        self._computed[state.weights] = basis

    async def _budget(self, manifest: Manifest) -> float:
        """Read the budget of some weights.

        A segmenter has that of its teacher.
        """
        if manifest.false_rejects is not None:
            return manifest.false_rejects.budget
        if manifest.parent is not None:
            teacher = await self.thresholds.manifest(manifest.place, WeightsId(manifest.parent))
            return FitSettings.budget_of(teacher)
        settings = self.lines.lookup(manifest.line)
        return DEFAULT_BUDGET if settings is None else settings.false_reject_budget


def _nothing(miss_cost: float) -> ThresholdBasis:
    """The basis of weights without scores: nothing is computed for them."""
    return ThresholdBasis(answers=(), stream_step=0, miss_cost=miss_cost)
