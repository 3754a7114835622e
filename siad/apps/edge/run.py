"""The watch: look at the folder again and again, hand over what is new and whole, write down what became of it."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from siad.apps.edge.folder import ChangedError, FolderListing
from siad.apps.edge.handover import FileHandover, FileOutcome, HandoverAnswer, ImageReceiver
from siad.apps.edge.journal import KEEP_S, Journal
from siad.apps.edge.names import NameLabel, SerialPattern, time_of
from siad.apps.edge.output import WatchOutput
from siad.apps.edge.plan import (
    PATIENCE,
    FileDecision,
    FileInspection,
    FileStamp,
    FileState,
    JournalEntry,
    PassPlan,
    UnsettledFile,
    judge,
    key_of,
    plan,
)
from siad.runtime.backoff import Backoff
from siad.runtime.clock import Clock

BATCH: Final = 500  # files between two listings
SHARE: Final = 0.1  # of the time, at most, goes into listings; so a folder of 100,000 files takes a tenth of one core
REST_MAX_S: Final = 30.0  # and it is still listed this often
PATIENCE_ONCE_S: Final = 60.0  # without any progress; then --once gives up
ATTEMPTS_ONCE: Final = 4  # at one file; then --once gives it up
MOVE_AGAIN_S: Final = 5.0
FORGET_EVERY_S: Final = 86_400.0
INGEST: Final = "ingest takes nothing"
FOLDER: Final = "the folder is away"


class FolderPort(Protocol):
    """The folder, or a fake of it."""

    def scan(self) -> FolderListing:
        """List it; OSError where it is away."""
        ...

    def look(self, path: str) -> FileInspection:
        """Read one file; OSError where that can't be."""
        ...

    def move(self, path: str, stamp: FileStamp) -> object:
        """Move one file out of it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchOptions:
    """How to watch."""

    name: str  # the folder, in full; part of every key
    settle_s: float = 1.0
    parallel: int = 4
    is_new: bool = False  # each writing of a file is an exposure, though its bytes are the same
    is_once: bool = False
    is_moving: bool = False
    serials: SerialPattern | None = None


@dataclass(slots=True)
class WatchCounts:
    """What was done since the start."""

    handed: int = 0
    repeats: int = 0  # of those, that ingest had already
    left: dict[str, str] = field(default_factory=dict)  # path -> why


class FolderWatch:
    """Watches one folder for one line.

    Args:
        folder: what is watched.
        journal: what was done before; nobody else writes it.
        hand_over: where images go.
        say: who is told.
        ways: how.
        clock: to wait on.
    """

    def __init__(
        self,
        folder: FolderPort,
        journal: Journal,
        hand_over: ImageReceiver,
        *,
        say: WatchOutput,
        ways: WatchOptions,
        clock: Clock,
    ) -> None:
        self._folder, self._journal, self._hand_over = folder, journal, hand_over
        self._say, self._ways, self._clock = say, ways, clock
        self._known = journal.known()
        self._waiting: dict[str, UnsettledFile] = {}
        self._listing = FolderListing()
        self._only: frozenset[str] | None = None  # with --once: what was there at first
        self._backoff = Backoff(schedule_s=(0.5, 1.0, 2.0, 5.0, 10.0))
        self._is_there = True  # the folder, when it was listed last
        self._is_away = False  # the last hand-over found that ingest takes nothing
        self._failures = 0  # passes in a row that ended so
        self._moves_from_s = self._forget_from_s = 0.0
        self._progress_s = clock.monotonic()
        self.tally = WatchCounts()

    async def run(self, stop: asyncio.Event) -> None:
        """Watch until ``stop``; with ``is_once`` until all that was there at first is done, or nothing moves on."""
        while not stop.is_set():
            rest_s = await self.step(stop)
            if self._ways.is_once and self._is_done():
                return
            await self._rest(rest_s, stop)

    async def step(self, stop: asyncio.Event) -> float:
        """Look once, and do what is due; how long to rest then, in seconds."""
        began_s = self._clock.monotonic()
        listing = await self._list()
        cost_s = self._clock.monotonic() - began_s
        self._is_there = listing is not None
        more = await self._pass(listing, stop) if listing is not None else 0
        self._say.flush()
        return 0.0 if more else self._rest_s(cost_s)

    def refused(self) -> dict[str, JournalEntry]:
        """What lies there refused, by path."""
        there = self._listing.files
        return {
            path: known
            for path, known in sorted(self._known.items())
            if known.state is FileState.REFUSED and there.get(path) == known.stamp
        }

    def left(self) -> dict[str, str]:
        """What is not handed over, and why."""
        waits = {path: wait.why or "its turn has not come yet" for path, wait in sorted(self._waiting.items())}
        return waits | self.tally.left

    async def _list(self) -> FolderListing | None:
        try:
            listing = await asyncio.to_thread(self._folder.scan)
        except OSError as error:
            self._say.trouble(FOLDER, f"{error.strerror}: {self._ways.name}; it is looked for again and again")
            return None
        if self._only is None and self._ways.is_once:
            self._only = frozenset(listing.files)
        if self._only is not None:
            listing.files = {path: stamp for path, stamp in listing.files.items() if path in self._only}
        self._listing = listing
        self._say.over(FOLDER, waiting=len(self._waiting))
        for path, why in listing.aside.items():
            self._say.once(path, f"left alone: {why}")
        self._forget()
        return listing

    def _forget(self) -> None:
        """Keep the journal as small as the folder, give or take a month."""
        now_s = self._clock.monotonic()
        if now_s >= self._forget_from_s and self._listing.files:
            self._forget_from_s = now_s + FORGET_EVERY_S
            before_s = self._clock.now().timestamp() - KEEP_S
            for path in self._journal.forget(self._listing.files, before_s=before_s):
                self._known.pop(path, None)

    async def _pass(self, listing: FolderListing, stop: asyncio.Event) -> int:
        """Do what is due; how many files are left for the next pass without a rest."""
        now_s = self._clock.monotonic()
        todo = plan(listing.files, self._known, self._waiting, now_s=now_s)
        self._waiting = todo.waiting
        await self._move_all(todo, stop)
        batch = todo.due[:BATCH]
        workers = 1 if self._is_away else min(self._ways.parallel, len(batch))  # one asks whether ingest is back
        self._is_away, turns = False, iter(batch)
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._work(turns, stop))
        self._failures = self._failures + 1 if self._is_away else 0
        return 0 if self._is_away else len(todo.due) - len(batch)

    async def _work(self, turns: Iterator[str], stop: asyncio.Event) -> None:
        """Take one file after the other, until ingest is away: then the oldest is the first again."""
        for path in turns:
            if stop.is_set():
                return
            await self._one(path)
            if self._is_away:
                return

    async def _one(self, path: str) -> None:
        wait, now_s = self._waiting[path], self._clock.monotonic()
        try:
            look = await asyncio.to_thread(self._folder.look, path)
        except FileNotFoundError:
            del self._waiting[path]
            return
        except OSError as error:
            self._put_off(path, wait, f"can't be read: {error.strerror}")
            return
        call, wait = judge(look, wait, now_s=now_s, settle_s=self._ways.settle_s, rests_always=self._ways.is_new)
        self._waiting[path] = wait
        if call is FileDecision.ASIDE:
            self._note(path, JournalEntry(stamp=look.stamp, sha256=look.sha256, state=FileState.ASIDE))
            self._say.once(path, "left alone: not an image by its content")
        elif call is FileDecision.HAND_OVER:
            held = self._known.get(path)
            if held and held.state is FileState.HANDED and held.sha256 == look.sha256 and not self._ways.is_new:
                self._note(path, replace(held, stamp=look.stamp))  # written again as it was: the same image
            else:
                await self._hand(path, look, wait)

    async def _hand(self, path: str, look: FileInspection, wait: UnsettledFile) -> None:
        label = self._ways.serials.read(path) if self._ways.serials else NameLabel()
        if label.trouble:
            self._say.once(path, label.trouble)
        written_ns = look.stamp.mtime_ns if self._ways.is_new else None
        parcel = FileHandover(
            data=look.data,
            key=key_of(self._ways.name, path, look.sha256, written_ns=written_ns),
            serial=label.serial,
            captured_at=label.captured_at or time_of(look.stamp.mtime_ns),
            is_time_guessed=label.captured_at is None,
        )
        answer = await self._hand_over(parcel)
        if answer.fate is FileOutcome.AWAY:
            self._is_away = True
            self._waiting[path] = replace(wait, why=f"{INGEST}: {answer.detail}")
            self._say.trouble(INGEST, f"{answer.detail}; all wait, and nothing is lost")
            return
        self._say.over(INGEST, waiting=len(self._waiting))
        if answer.fate is FileOutcome.LATER:
            self._put_off(path, wait, answer.detail)
        else:
            self._settle(path, look, answer, serial=label.serial)

    def _settle(self, path: str, look: FileInspection, answer: HandoverAnswer, *, serial: str) -> None:
        """Write down and tell what ingest said of one file."""
        is_handed = answer.fate is FileOutcome.HANDED
        known = JournalEntry(
            stamp=look.stamp,
            sha256=look.sha256,
            state=FileState.HANDED if is_handed else FileState.REFUSED,
            capture_id=answer.capture_id,
            code=answer.code if not is_handed else "",
            detail=answer.detail if not is_handed else "",
        )
        self._note(path, known)
        if not is_handed:
            self._say.file(path, f"refused: {answer.detail.removeprefix('image refused: ')}", style="red")
            return
        self.tally.handed += 1
        self.tally.repeats += answer.is_repeat
        named = f", serial {serial}" if serial else ""
        before = "; ingest had it already" if answer.is_repeat else ""
        self._say.file(path, f"handed over as {answer.capture_id[:12]}{named}{before}")

    def _note(self, path: str, known: JournalEntry) -> None:
        self._journal.note(path, known, now_s=self._clock.now().timestamp())
        self._known[path] = known
        self._waiting.pop(path, None)
        self._progress_s = self._clock.monotonic()

    def _put_off(self, path: str, wait: UnsettledFile, why: str) -> None:
        """Try one file again later, and others meanwhile."""
        delay_s = self._backoff.delay_s(wait.attempts)
        again_s = self._clock.monotonic() + delay_s
        self._waiting[path] = replace(wait, attempts=wait.attempts + 1, look_at_s=again_s, why=why)
        if wait.attempts:  # the first time it may be a writer that locks what it writes
            self._say.once(path, f"waits: {why}")

    async def _move_all(self, todo: PassPlan, stop: asyncio.Event) -> None:
        if not self._ways.is_moving or self._clock.monotonic() < self._moves_from_s:
            return
        for path in todo.finish:
            if stop.is_set():
                return
            self.tally.left.pop(path, None)
            try:
                await asyncio.to_thread(self._folder.move, path, self._known[path].stamp)
            except (FileNotFoundError, ChangedError):
                continue
            except OSError as error:
                why = f"handed over, but can't be moved: {error.strerror or error}"
                self.tally.left[path] = why
                self._say.once(path, why)
                self._moves_from_s = self._clock.monotonic() + MOVE_AGAIN_S
                return

    def _is_done(self) -> bool:
        """Whether --once may end."""
        now_s, settle_s = self._clock.monotonic(), self._ways.settle_s
        moved_on_s = max([self._progress_s, *(wait.since_s for wait in self._waiting.values())])
        if now_s - moved_on_s >= max(PATIENCE_ONCE_S, 2 * PATIENCE * settle_s):
            return True
        is_stuck = all(wait.attempts >= ATTEMPTS_ONCE for wait in self._waiting.values())
        return self._is_there and is_stuck and (not self._unmoved() or bool(self.tally.left))

    def _unmoved(self) -> Mapping[str, str]:
        """What is handed over and still to be moved."""
        if not self._ways.is_moving:
            return {}
        return {p: "" for p, stamp in self._listing.files.items() if _is_handed(self._known.get(p), stamp)}

    def _rest_s(self, cost_s: float) -> float:
        """Longer where a listing costs more, and while ingest is away."""
        poll_s = min(max(self._ways.settle_s / 2, 0.2), 1.0)
        rest_s = max(poll_s, min(cost_s * (1 / SHARE - 1), REST_MAX_S))
        return max(rest_s, self._backoff.delay_s(self._failures - 1)) if self._failures else rest_s

    async def _rest(self, seconds: float, stop: asyncio.Event) -> None:
        sleep = asyncio.ensure_future(self._clock.sleep(seconds))
        halt = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({sleep, halt}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleep.cancel()
            halt.cancel()


def _is_handed(known: JournalEntry | None, stamp: FileStamp) -> bool:
    return known is not None and known.state is FileState.HANDED and known.stamp == stamp
