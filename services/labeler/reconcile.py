"""Reconciler of the labeler: fits and releases teachers, backfills their lines.

It observes the state of a line and product through ports, plans with ``domain.plan``, and executes the actions. Records
in the store that are missing or damaged put off their line and product only, see ``siad.runtime.reconcile``.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Final

import structlog

from services.labeler import metrics
from services.labeler.domain.brake import move_brake
from services.labeler.domain.fit_notes import FitNotes
from services.labeler.domain.fitting import (
    SKEW_CAPTURES_MAX,
    FitRecord,
    choose_missed,
    describe_shortage,
    describe_unlearning,
    fit_record_of,
    was_missed,
)
from services.labeler.domain.plan import (
    Action,
    AnnounceTeacher,
    BackfillLine,
    FitAttempt,
    FitTeacher,
    MoveBrake,
    TeacherState,
    plan,
)
from services.labeler.domain.refits import judge_refit, with_balance
from services.labeler.handlers import label
from services.labeler.ports import (
    BrakeRecords,
    DeletionGuard,
    FitOrders,
    FitRefusedError,
    FittedTeacher,
    HoldRecords,
    LineRecords,
    MaskScorer,
    QuarantineReader,
    RefitRecords,
    ScorerBugError,
    StreamRecords,
    TeacherFitter,
    TeacherReleases,
)
from siad.contracts.codec import encode
from siad.contracts.errors import PoisonError
from siad.contracts.events import ImageStored, PseudoMaskCreated, WeightsKind
from siad.contracts.ids import record_key
from siad.contracts.learning import LearningMode, why_not_learning
from siad.contracts.place import Place
from siad.contracts.pointer import Pointer
from siad.contracts.refits import RefitCause, RefitRecord
from siad.contracts.topics import PSEUDO_MASK
from siad.runtime.bus.port import Message, Producer
from siad.runtime.clock import SYSTEM_CLOCK, Clock

log = structlog.get_logger()

UNIT: Final = "labeler/"  # begins the name of every unit of work: labeler/<line>/<product>
BACKFILLS_MAX: Final = 4  # captures of one backfill labelled at once, beside the stream


@dataclass(slots=True, kw_only=True)
class TeacherReconciler:
    """Plans and acts for the teacher of each line and product."""

    lines: LineRecords
    releases: TeacherReleases
    scorer: MaskScorer
    fitter: TeacherFitter
    orders: FitOrders
    refits: RefitRecords
    stream: StreamRecords
    brakes: BrakeRecords
    holds: HoldRecords
    deletions: DeletionGuard
    quarantine: QuarantineReader
    producer: Producer
    notes: FitNotes
    nudge: asyncio.Event  # set when an action makes another one possible
    backfill_max: int  # captures
    clock: Clock = SYSTEM_CLOCK
    _announced: dict[Place, int] = field(default_factory=dict)
    _reported: dict[Place, int] = field(default_factory=dict)  # normals of a line without a teacher, as last seen
    _paused: dict[Place, str] = field(default_factory=dict)  # why a line learns nothing, as last logged
    _refused: dict[Place, FitAttempt] = field(default_factory=dict)
    _fits: dict[Place, tuple[str, FitRecord]] = field(default_factory=dict)  # weights and how they were fitted
    # Captures that an unfinished backfill has labelled: they are not labelled twice by this process.
    _labelled: dict[Place, set[str]] = field(default_factory=dict)

    async def names(self) -> list[str]:
        """List every line and product that has a normal."""
        return [f"{UNIT}{place}" for place in await self.lines.places_with_normals()]

    async def observe(self, name: str) -> TeacherState:
        """Read the state of one line and product.

        Raises:
            CorruptError, MissingError: a record in the store cannot be read.
            TransientError: the store is unavailable.
        """
        place = _place_of(name)
        pointer = await self.releases.pointer(WeightsKind.TEACHER, place)
        counts = await self.orders.counts(place)
        metrics.NORMALS.labels(place.line, place.product).set(counts.normals)
        if pointer is None:
            self._report_shortage(place, counts.normals)
        fit = await self._fit_record(place, pointer) if pointer else None
        unlearn = await self._unlearn(pointer, fit) if pointer and fit else None
        settings = await self.lines.fit_settings(place.line)
        if self.notes.miss(place, text := describe_unlearning(counts.normals, unlearn)):
            log.error("refit_waits", line=place.line, product=place.product, reason=text)
        if settings is None or self._refused.get(place) != FitAttempt(counts.normals, settings):
            self.notes.end(place)  # a refusal holds for what was tried alone
        last, brake = await self.refits.last(place), await self.brakes.read(place)
        mode, hold = await self.lines.learning(place.line), await self.holds.read(place)
        is_braked = mode is LearningMode.AUTO and brake is not None and brake.is_on
        metrics.BRAKE_ON.labels(place.line, place.product).set(is_braked)
        rows = (await self.stream.read(place)).rows
        return TeacherState(
            place=place,
            normals=counts.normals,
            goods=counts.goods,
            stream=counts.stream,
            last=last,
            pause=self._pause(place, why_not_learning(mode, brake, line=place.line, hold=hold)),
            moved_brake=move_brake(rows, brake, last, now=self.clock.now()),
            settings=settings,
            pointer=pointer,
            fit=fit,
            announced=self._announced.get(place, 0),
            refused=self._refused.get(place),
            is_backfilled=pointer is not None and await self.lines.is_backfilled(place),
            unlearn=unlearn,
        )

    def _pause(self, place: Place, reason: str) -> str:
        """Log once, and measure, that a line learns nothing."""
        metrics.LEARNING_PAUSED.labels(place.line, place.product).set(bool(reason))
        if reason and self._paused.get(place) != reason:
            log.warning("learning_paused", line=place.line, product=place.product, reason=reason)
        if not reason and self._paused.get(place):
            log.info("learning_resumed", line=place.line, product=place.product)
        self._paused[place] = reason
        return reason

    def _report_shortage(self, place: Place, normals: int) -> None:
        """Log once for each count that a first teacher needs more normals."""
        text = describe_shortage(place, normals)
        if text and self._reported.get(place) != normals:
            log.info("normals_missing", line=place.line, product=place.product, normals=normals, reason=text)
        self._reported[place] = normals

    async def _fit_record(self, place: Place, pointer: Pointer) -> FitRecord:
        """Read how the teacher was fitted; manifests never change, so once."""
        weights, fit = self._fits.get(place, ("", None))
        if fit is None or weights != pointer.weights:
            fit = fit_record_of(await self.releases.manifest(pointer))
            self._fits[place] = (pointer.weights, fit)
        return fit

    async def _unlearn(self, pointer: Pointer, fit: FitRecord) -> RefitCause | None:
        """Whether a capture of the teacher is deleted or in quarantine."""
        deletions = await self.deletions.recent(pointer.line)
        if any(deletions.covers(capture, pointer.released_at) for capture in fit.captures):
            return RefitCause.DELETED
        barred = (await self.quarantine.read(pointer.line)).captures
        return RefitCause.QUARANTINED if any(capture in barred for capture in fit.captures) else None

    def plan(self, state: TeacherState, _: datetime) -> Sequence[Action]:
        """Decide what to do, see ``domain.plan``."""
        return plan(state)

    async def act(self, name: str, action: Action) -> None:
        """Execute one action.

        Raises:
            ConflictError: another process does the same and was first.
            CorruptError, MissingError: a record in the store cannot be read.
            TransientError: the scorer, the broker or the store is unavailable.
        """
        place = _place_of(name)
        match action:
            case AnnounceTeacher(pointer):
                await self._announce(place, pointer)
            case MoveBrake(brake):
                await self.brakes.put(place, brake)
                metrics.BRAKES.labels(place.line, "on" if brake.is_on else "off").inc()
            case FitTeacher():
                await self._fit(place, action)
            case BackfillLine(pointer):
                await self._backfill(place, pointer)
        self.nudge.set()

    async def _announce(self, place: Place, pointer: Pointer) -> None:
        await self.releases.announce(pointer)
        self._announced[place] = pointer.revision

    async def _fit(self, place: Place, action: FitTeacher) -> None:
        """Fit a teacher, have the gate decide, and record the decision.

        The record comes last: after a crash the fit is repeated, and gives the same weights.
        """
        serving = "" if action.expected is None else action.expected.weights
        segmenter = await self.releases.pointer(WeightsKind.SEGMENTER, place)
        judges = "" if segmenter is None else segmenter.in_service
        order = await self.orders.gather(place, action.settings, serving=serving, segmenter=judges)
        fields = {
            "line": place.line,
            "product": place.product,
            "cause": action.cause.value,
            "normals": len(order.normals),
            "goods": len(order.goods),
            "stream": len(order.stream),
        }
        refused = ""
        log.info("fit_started", **fields, held_out=len(order.held_out))
        started_s = self.clock.monotonic()
        self.notes.begin(place, action.cause, at=self.clock.now())
        try:
            fitted = await self.fitter.fit(place, order)
        except FitRefusedError as error:
            refused = str(error)
            self._refused[place] = FitAttempt(action.counts.normals, action.settings)
            metrics.FITS.labels(place.line, "refused").inc()
            log.error("fit_refused", **fields, reason=refused)
            return
        finally:
            self.notes.end(place, refused=refused)
        if fitted.evidence is not None:
            fitted = replace(fitted, evidence=with_balance(fitted.evidence, await self.refits.last(place)))
        decision = judge_refit(action.cause, fitted.evidence)
        if event := await self._why_kept_back(place, action, fitted.weights):
            metrics.FITS.labels(place.line, "unchanged").inc()
            log.warning(event, **fields, weights=fitted.weights, serving=serving)
        elif decision.accepted:
            await self._release(place, action, fitted, fields)
            metrics.FIT_SECONDS.observe(self.clock.monotonic() - started_s)
        else:
            metrics.FITS.labels(place.line, "declined").inc()
            log.warning("refit_declined", **fields, weights=fitted.weights, reason=decision.text)
        await self.refits.put(
            RefitRecord(
                number=action.number,
                line=place.line,
                product=place.product,
                cause=action.cause,
                counts=action.counts,
                settings=action.settings,
                weights=fitted.weights,
                serving=serving,
                decision=decision,
                ended_at=self.clock.now(),
                evidence=fitted.evidence,
            )
        )

    async def _why_kept_back(self, place: Place, action: FitTeacher, weights: str) -> str:
        """Name the log event of a fit that must not be released.

        The gate has no say in it. Empty for a fit that may be.
        """
        if action.expected is not None and weights == action.expected.weights:
            return "fit_changed_nothing"
        if weights in (await self.quarantine.read(place.line)).weights:
            return "fit_in_quarantine"
        if action.expected is not None and weights in action.expected.rejected:
            return "fit_rolled_back_before"
        return ""

    async def _release(
        self, place: Place, action: FitTeacher, fitted: FittedTeacher, fields: Mapping[str, str | int]
    ) -> None:
        pointer = await self.releases.point(place, fitted.weights, expected=action.expected, at=self.clock.now())
        metrics.FITS.labels(place.line, "released").inc()
        reason = judge_refit(action.cause, fitted.evidence).text
        log.info("teacher_released", **fields, weights=fitted.weights, revision=pointer.revision, reason=reason)
        await self._announce(place, pointer)  # after a crash before this line, the next plan announces

    async def _backfill(self, place: Place, pointer: Pointer) -> None:
        """Label the captures that were missed, and mark the backfill as finished.

        A process that is killed leaves no mark, and the next one labels the same captures again: it overwrites masks,
        repeats events, and loses none.
        """
        captures = await self._missed(place, pointer)
        shards = await self.lines.shards(place.line)
        labelled = self._labelled.setdefault(place, set())
        queue = iter([capture for capture in captures if capture.capture_id not in labelled])
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(BACKFILLS_MAX):
                    group.create_task(self._label_queued(queue, pointer, shards, labelled))
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from failures  # the group has cancelled the other tasks
        await self.lines.set_backfilled(place, weights=pointer.weights, captures=len(captures))
        del self._labelled[place]
        log.info("backfilled", line=place.line, product=place.product, captures=len(captures))

    async def _missed(self, place: Place, pointer: Pointer) -> Sequence[ImageStored]:
        """Read the captures of the backfill.

        The first attempt chooses and stores them.
        """
        chosen = await self.lines.backfill_list(place)
        if chosen is not None:
            listed = set(chosen)
            return await self.lines.captures(
                place.line, wanted=lambda capture: capture.capture_id in listed, newest=len(chosen)
            )
        found = await self.lines.captures(
            place.line,
            wanted=partial(was_missed, product=place.product, first_released_at=pointer.released_at),
            newest=self.backfill_max + SKEW_CAPTURES_MAX,
        )
        captures = choose_missed(found, first_released_at=pointer.released_at, most=self.backfill_max)
        await self.lines.set_backfill_list(place, tuple(capture.capture_id for capture in captures))
        return captures

    async def _label_queued(
        self, queue: Iterator[ImageStored], pointer: Pointer, shards: int, labelled: set[str]
    ) -> None:
        for capture in queue:
            try:
                events = await self.deletions.unless_erased(capture, partial(self._label, capture, pointer))
            except (PoisonError, ScorerBugError) as error:  # the stream dead-letters the record of such a capture
                _log_left_out(capture, error)
            else:
                await self._publish(capture, events, shards)
            labelled.add(capture.capture_id)

    async def _label(self, capture: ImageStored, pointer: Pointer) -> list[PseudoMaskCreated]:
        return await label(capture, weights=pointer.weights, scorer=self.scorer, lines=self.lines)

    async def _publish(self, capture: ImageStored, events: Sequence[PseudoMaskCreated], shards: int) -> None:
        key = record_key(capture.line, capture.capture_id, shards)
        try:
            messages = [Message(topic=PSEUDO_MASK.name, key=key, value=encode(event)) for event in events]
            await self.producer.publish(messages)
        except ValueError as error:  # an event that the codec or the bus does not accept: it is over the size limit
            _log_left_out(capture, error)
        else:
            metrics.BACKFILLED.labels(capture.line).inc(len(messages))
            for event in events:
                self.stream.note(event)


def _log_left_out(capture: ImageStored, error: Exception) -> None:
    log.warning("backfill_left_out", capture_id=capture.capture_id, reason=str(error))


def _place_of(name: str) -> Place:
    return Place.parse(name.removeprefix(UNIT))
