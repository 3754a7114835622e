"""From what the store says of a line and product to what is to be done about its teacher.

``plan`` is pure. A fit names its weights by its normals and a backfill leaves a mark when it is through, so whoever
plans next, after a crash at any place, finds what is still to do.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Final, NamedTuple

import structlog

from services.labeler import metrics
from services.labeler.adapters.lines import StoredLines
from services.labeler.adapters.releases import FitRecord, TeacherReleases
from services.labeler.adapters.scorer_client import FitRefusedError, ScorerBugError, ScorerClient
from services.labeler.domain.fitting import choose, wanted, was_missed
from services.labeler.handlers import label
from siad.contracts.codec import encode
from siad.contracts.errors import CorruptError, MissingError, PoisonError, TransientError
from siad.contracts.events import ImageStored, PseudoMaskCreated
from siad.contracts.fit_settings import FitSettings
from siad.contracts.ids import record_key
from siad.contracts.pointer import Pointer
from siad.contracts.topics import PSEUDO_MASK
from siad.erasure.deletions import AsyncDeletions
from siad.runtime import trace
from siad.runtime.bus.port import Message, Producer
from siad.runtime.clock import SYSTEM_CLOCK, Clock

log = structlog.get_logger()

UNIT: Final = "labeler"
ABREAST: Final = 4  # captures of a backfill under way at once, beside the stream


class FitAttempt(NamedTuple):
    """One fit that was asked for."""

    normals: int
    settings: FitSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherState:
    """One line and product, as the store tells it."""

    line: str
    product: str
    normals: int
    settings: FitSettings | None  # how the line wants its teacher; None: the line is gone
    pointer: Pointer | None
    made: FitRecord | None  # the teacher in service, on no normals where this code can't open it; None: there is none
    announced: int  # revision of the pointer that this process has told everybody; 0 for none
    refused: FitAttempt | None  # what this process was last refused
    tried: FitAttempt | None  # what it last had fitted
    is_backfilled: bool
    must_unlearn: bool = False  # the teacher in service was fitted on a normal that is to be forgotten


@dataclass(frozen=True, slots=True)
class AnnounceTeacher:
    """Tell where the teacher's pointer stands: it moved, or this process has just started."""

    pointer: Pointer


@dataclass(frozen=True, slots=True)
class FitTeacher:
    """Fit a teacher on the normals that there are, and let it serve."""

    normals: int
    settings: FitSettings
    expected: Pointer | None


@dataclass(frozen=True, slots=True)
class BackfillLine:
    """Label what came before the first teacher."""

    pointer: Pointer


Action = AnnounceTeacher | FitTeacher | BackfillLine


def plan(state: TeacherState) -> list[Action]:
    """Say what is to be done for one line and product."""
    actions: list[Action] = []
    if state.pointer is not None and state.pointer.revision > state.announced:
        actions.append(AnnounceTeacher(state.pointer))
    if state.settings is None:
        return actions
    if state.pointer is not None and not state.is_backfilled:
        actions.append(BackfillLine(state.pointer))
    elif _is_fit_due(state, FitAttempt(state.normals, state.settings)):
        actions.append(FitTeacher(state.normals, state.settings, state.pointer))
    return actions


def _is_fit_due(state: TeacherState, now: FitAttempt) -> bool:
    """A step, or settings, that this process has not tried: where a normal can't be read, a teacher stays short."""
    step = wanted(now.normals)
    if not step or state.refused == now:
        return False
    if state.must_unlearn:
        return True  # and it ends there: what is fitted now is fitted without it
    tried = state.tried if state.tried is not None and state.tried.settings == now.settings else None
    if tried is not None and wanted(tried.normals) >= step:
        return False
    is_short = state.made is None or state.made.normals < step
    has_changed = state.made is not None and state.made.settings not in (None, now.settings)
    return is_short or has_changed


@dataclass(slots=True, kw_only=True)
class TeacherReconciler:
    """The labeler's works for ``siad.runtime.reconcile``."""

    lines: StoredLines
    releases: TeacherReleases
    scorer: ScorerClient
    deletions: AsyncDeletions
    producer: Producer
    nudge: asyncio.Event  # set when an action makes another one possible
    backfill_max: int
    clock: Clock = SYSTEM_CLOCK
    _announced: dict[str, int] = field(default_factory=dict)
    _refused: dict[str, FitAttempt] = field(default_factory=dict)
    _tried: dict[str, FitAttempt] = field(default_factory=dict)
    _labelled: dict[str, set[str]] = field(default_factory=dict)  # of backfills under way; saves work, is not the truth

    async def names(self) -> list[str]:
        """Every line and product that has a normal."""
        return [f"{UNIT}/{line}/{product}" for line, product in await self.lines.with_normals()]

    async def observe(self, name: str) -> TeacherState:
        """Read one line and product.

        Raises:
            TransientError: what lies there can't be read; this line waits for somebody to mend it, the others go on.
        """
        _, line, product = name.split("/")
        try:
            return await self._observe(name, line, product)
        except (CorruptError, MissingError) as error:
            msg = f"{line}/{product} can't be planned: {error}"
            raise TransientError(msg) from error

    async def _observe(self, name: str, line: str, product: str) -> TeacherState:
        pointer = await self.releases.pointer(line, product)
        normals = await self.lines.count_normals(line, product)
        metrics.NORMALS.labels(line, product).set(normals)
        made = await self.releases.made(pointer) if pointer else None
        return TeacherState(
            line=line,
            product=product,
            normals=normals,
            settings=await self.lines.fit_settings(line),
            pointer=pointer,
            made=made,
            announced=self._announced.get(name, 0),
            refused=self._refused.get(name),
            tried=self._tried.get(name),
            is_backfilled=pointer is not None and await self.lines.is_backfilled(line, product),
            must_unlearn=made is not None and pointer is not None and await self._must_unlearn(pointer, made),
        )

    async def _must_unlearn(self, pointer: Pointer, made: FitRecord) -> bool:
        """Whether a normal of the teacher in service is forgotten, by itself or with all that the line had sent."""
        forgotten = await self.deletions.known(pointer.line)
        return any(forgotten.covers(capture, pointer.released_at) for capture in made.captures)

    def plan(self, state: TeacherState, _: datetime) -> Sequence[Action]:
        """Say what is to be done."""
        return plan(state)

    async def act(self, name: str, action: Action) -> None:
        """Do it; another process that does the same gets ConflictError, here or there."""
        _, line, product = name.split("/")
        match action:
            case AnnounceTeacher(pointer):
                await self._announce(name, pointer)
            case FitTeacher():
                await self._fit(name, line, product, action)
            case BackfillLine(pointer):
                await self._backfill(name, line, product, pointer)
        self.nudge.set()

    async def _announce(self, name: str, pointer: Pointer) -> None:
        await self.releases.announce(pointer)
        self._announced[name] = pointer.revision

    async def _fit(self, name: str, line: str, product: str, action: FitTeacher) -> None:
        forgotten = await self.deletions.look(line)
        normals = choose(
            normal
            for normal in await self.lines.normals(line, product)
            if not forgotten.covers(normal.capture_id, normal.received_at)
        )
        log.info("fit_started", line=line, product=product, normals=len(normals))
        started_s = self.clock.monotonic()
        try:
            weights = await self.scorer.fit(line, product, normals=normals, settings=action.settings)
        except FitRefusedError as error:
            self._refused[name] = FitAttempt(action.normals, action.settings)
            metrics.FITS.labels(line, "refused").inc()
            log.error("fit_refused", line=line, product=product, normals=len(normals), reason=str(error))
            return
        self._tried[name] = FitAttempt(action.normals, action.settings)
        if action.expected is not None and action.expected.weights == weights:
            metrics.FITS.labels(line, "unchanged").inc()
            log.warning("fit_changed_nothing", line=line, product=product, normals=len(normals), weights=weights)
            return
        pointer = await self.releases.point(
            weights, expected=action.expected, line=line, product=product, at=self.clock.now()
        )
        seconds = self.clock.monotonic() - started_s
        metrics.FITS.labels(line, "released").inc()
        metrics.FIT_SECONDS.observe(seconds)
        log.info(
            "teacher_released",
            line=line,
            product=product,
            weights=weights,
            revision=pointer.revision,
            normals=len(normals),
            seconds=round(seconds, 3),
        )
        await self._announce(name, pointer)  # cut off before it, the next plan announces

    async def _backfill(self, name: str, line: str, product: str, pointer: Pointer) -> None:
        """Label what was missed; what this process has labelled already it does not label again.

        A process that was killed leaves no mark, and the next one begins anew: masks are overwritten, events repeated,
        nothing is lost.
        """
        captures = await self.lines.captures(
            line,
            wanted=lambda capture: was_missed(capture, product=product, first_released_at=pointer.released_at),
            newest=self.backfill_max,
        )
        shards = await self.lines.shards(line)
        labelled = self._labelled.setdefault(name, set())
        turns = iter([capture for capture in captures if capture.capture_id not in labelled])
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(ABREAST):
                    group.create_task(self._label_in_turn(turns, pointer, shards, labelled))
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from failures  # the others were ended with it
        await self.lines.set_backfilled(line, product, weights=pointer.weights, captures=len(captures))
        del self._labelled[name]
        log.info("backfilled", line=line, product=product, captures=len(captures))

    async def _label_in_turn(
        self, turns: Iterator[ImageStored], pointer: Pointer, shards: int, labelled: set[str]
    ) -> None:
        for capture in turns:
            try:
                drawn = partial(self._label, capture, pointer)
                events = await self.deletions.unless_forgotten(capture, drawn)
            except (PoisonError, ScorerBugError) as error:  # its message in the stream is buried, or will be
                log.warning("backfill_left_out", capture_id=capture.capture_id, reason=str(error))
            else:
                key = record_key(capture.line, capture.capture_id, shards)
                span = trace.CURRENT.get() or trace.TraceSpan.root()
                messages = [Message(topic=PSEUDO_MASK.name, key=key, value=encode(event)) for event in events]
                await self.producer.publish([trace.stamped(message, span.child()) for message in messages])
                metrics.BACKFILLED.labels(capture.line).inc(len(messages))
            labelled.add(capture.capture_id)

    async def _label(self, capture: ImageStored, pointer: Pointer) -> list[PseudoMaskCreated]:
        return [await label(capture, weights=pointer.weights, scorer=self.scorer)]
