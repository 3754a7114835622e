"""The watch: poll the folder, send complete images, record outcomes."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from siad.apps.edge.folder import FolderListing
from siad.apps.edge.journal import KEEP_S
from siad.apps.edge.mover import FileMover
from siad.apps.edge.names import NameLabel, NameProblem, time_of
from siad.apps.edge.plan import (
    INCOMPLETE_FACTOR,
    FileDecision,
    FileInspection,
    FileState,
    JournalEntry,
    UnsettledFile,
    decide,
    key_of,
    plan,
)
from siad.apps.edge.ports import WatchCounts, WatchOptions, WatchPorts
from siad.apps.edge.upload import FileUpload, UploadOutcome, UploadResponse
from siad.apps.files import printable, reason_of
from siad.runtime.backoff import Backoff

BATCH: Final = 500  # files between two listings
LISTING_RATIO: Final = 0.1  # of the time is spent on listings at most; 100,000 files take a tenth of one core
REST_MAX_S: Final = 30.0  # between two listings, however slow they are
ONCE_TIMEOUT_S: Final = 60.0  # with --once: without progress for so long, the watch gives up
ONCE_ATTEMPTS: Final = 4  # with --once: attempts at one file
PRUNE_EVERY_S: Final = 86_400.0
INGEST: Final = "ingest accepts no images"
FOLDER: Final = "the folder is unavailable"


class FolderWatch:
    """Watches one folder for one line.

    Args:
        ports: folder, journal, upload, output and clock.
        options: how to watch.
    """

    def __init__(self, ports: WatchPorts, options: WatchOptions) -> None:
        self._folder, self._journal, self._upload = ports.folder, ports.journal, ports.upload
        self._output, self._clock, self._options = ports.output, ports.clock, options
        self._entries = ports.journal.entries()
        self._unsettled: dict[str, UnsettledFile] = {}
        self._listing = FolderListing()
        self._only: frozenset[str] | None = None  # with --once: the files of the first listing
        self._backoff = Backoff(schedule_s=(0.5, 1.0, 2.0, 5.0, 10.0))
        self._is_listed = True  # whether the last listing succeeded
        self._is_unavailable = False  # whether the last upload found that ingest accepts no images
        self._failures = 0  # consecutive passes that ended so
        self._prune_from_s = 0.0
        self._progress_s = self._clock.monotonic()
        self.counts = WatchCounts()
        self._mover = FileMover(ports, self.counts, is_enabled=options.is_moving)

    async def run(self, stop: asyncio.Event) -> None:
        """Watch until ``stop``.

        With ``is_once`` until the first listing is done, or there is no more progress.
        """
        while not stop.is_set():
            rest_s = await self.step(stop)
            if self._options.is_once and self._is_done():
                return
            await self._rest(rest_s, stop)

    async def step(self, stop: asyncio.Event) -> float:
        """List the folder once and do what is due.

        Returns how long to rest, in seconds.
        """
        began_s = self._clock.monotonic()
        listing = await self._list()
        cost_s = self._clock.monotonic() - began_s
        self._is_listed = listing is not None
        more = await self._pass(listing, stop) if listing is not None else 0
        self._output.flush()
        return 0.0 if more else self._rest_s(cost_s)

    def refused(self) -> dict[str, JournalEntry]:
        """Refused files that are still in the folder, by path."""
        files = self._listing.files
        return {
            path: entry
            for path, entry in sorted(self._entries.items())
            if entry.state is FileState.REFUSED and files.get(path) == entry.stamp
        }

    def skipped(self) -> dict[str, str]:
        """Files that are named like images and can't be used, and why."""
        return dict(sorted(self._listing.skipped.items()))

    def unsent(self) -> dict[str, str]:
        """Files that were not sent, or sent but not moved, and why."""
        waiting = {path: file.why or "not its turn yet" for path, file in sorted(self._unsettled.items())}
        return waiting | self.counts.unmoved

    async def _list(self) -> FolderListing | None:
        try:
            listing = await asyncio.to_thread(self._folder.scan)
        except OSError as error:
            self._output.problem(
                FOLDER, f"{printable(self._options.name)}: {reason_of(error)}; retrying until it is back"
            )
            return None
        if self._only is None and self._options.is_once:
            self._only = frozenset(listing.files)
        if self._only is not None:
            listing.files = {path: stamp for path, stamp in listing.files.items() if path in self._only}
        self._listing = listing
        self._output.resolved(FOLDER, waiting=len(self._unsettled))
        for path, why in listing.ignored.items():
            self._output.once(path, f"ignored: {why}")
        for path, why in listing.skipped.items():
            self._output.once(path, f"skipped: {why}")
        self._prune()
        return listing

    def _prune(self) -> None:
        """Remove journal entries of files that were removed a month ago."""
        now_s = self._clock.monotonic()
        if now_s >= self._prune_from_s and self._listing.files:
            self._prune_from_s = now_s + PRUNE_EVERY_S
            before_s = self._clock.now().timestamp() - KEEP_S
            for path in self._journal.prune(self._listing.files, before_s=before_s):
                self._entries.pop(path, None)

    async def _pass(self, listing: FolderListing, stop: asyncio.Event) -> int:
        """Do what is due.

        Returns how many files are left for the next pass without a rest.
        """
        todo = plan(listing.files, self._entries, self._unsettled, now_s=self._clock.monotonic())
        self._unsettled = todo.unsettled
        await self._mover.move_all(todo.accepted, self._entries, stop)
        batch = todo.due[:BATCH]
        workers = 1 if self._is_unavailable else min(self._options.parallel, len(batch))  # one probes an outage
        self._is_unavailable, paths = False, iter(batch)
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._work(paths, stop))
        self._failures = self._failures + 1 if self._is_unavailable else 0
        return 0 if self._is_unavailable else len(todo.due) - len(batch)

    async def _work(self, paths: Iterator[str], stop: asyncio.Event) -> None:
        """Process files in order.

        Stop at an outage, so that the next pass begins with the oldest again.
        """
        for path in paths:
            if stop.is_set():
                return
            await self._process(path)
            if self._is_unavailable:
                return

    async def _process(self, path: str) -> None:
        """Inspect one file and send it if it is complete."""
        file, now_s = self._unsettled[path], self._clock.monotonic()
        try:
            found = await asyncio.to_thread(self._folder.inspect, path)
        except FileNotFoundError:
            del self._unsettled[path]
            return
        except OSError as error:
            self._postpone(path, file, f"can't be read: {reason_of(error)}")
            return
        is_new = self._options.is_new
        decision, file = decide(found, file, now_s=now_s, settle_s=self._options.settle_s, always_rest=is_new)
        self._unsettled[path] = file
        if decision is FileDecision.IGNORE:
            self._record(path, JournalEntry(stamp=found.stamp, sha256=found.sha256, state=FileState.ASIDE))
            self._output.once(path, "ignored: not an image by its content")
        elif decision is FileDecision.SEND:
            entry = self._entries.get(path)
            if entry and entry.state is FileState.HANDED and entry.sha256 == found.sha256 and not is_new:
                self._record(path, replace(entry, stamp=found.stamp))  # written again with the same bytes
            else:
                await self._send(path, found, file)

    async def _send(self, path: str, found: FileInspection, file: UnsettledFile) -> None:
        written_at, label = time_of(found.stamp.mtime_ns), NameLabel()
        if self._options.serials is not None:
            label = self._options.serials.read(path, written_at=written_at)
        if not label.serial.isprintable():  # a byte that is not UTF-8 can't be sent, a line break is refused
            detail = f"serial {printable(label.serial)} is not printable: sent without a serial"
            label = replace(label, serial="", problem=NameProblem.NO_SERIAL, detail=detail)
        if label.problem is not None:
            self._output.once(path, printable(label.detail))
        if label.refusal:
            refused = UploadResponse(outcome=UploadOutcome.REFUSED, code=label.refusal, detail=label.detail)
            self._settle(path, found, refused, label)
            return
        written_ns = found.stamp.mtime_ns if self._options.is_new else None
        upload = FileUpload(
            data=found.data,
            key=key_of(self._options.name, path, found.sha256, written_ns=written_ns),
            serial=label.serial,
            captured_at=label.captured_at or written_at,
            is_time_guessed=label.captured_at is None,
        )
        response = await self._upload(upload)
        if response.outcome is UploadOutcome.UNAVAILABLE:
            self._is_unavailable = True
            self._unsettled[path] = replace(file, why=f"{INGEST}: {response.detail}")
            self._output.problem(INGEST, f"{response.detail}; images wait, and are sent once it does")
            return
        self._output.resolved(INGEST, waiting=len(self._unsettled))
        if response.outcome is UploadOutcome.RETRY:
            self._postpone(path, file, response.detail)
        else:
            self._settle(path, found, response, label)

    def _settle(self, path: str, found: FileInspection, response: UploadResponse, label: NameLabel) -> None:
        """Record and print the outcome of one file."""
        is_accepted = response.outcome is UploadOutcome.ACCEPTED
        entry = JournalEntry(
            stamp=found.stamp,
            sha256=found.sha256,
            state=FileState.HANDED if is_accepted else FileState.REFUSED,
            capture_id=response.capture_id,
            code=response.code if not is_accepted else "",
            detail=response.detail if not is_accepted else "",
        )
        self._record(path, entry)
        if not is_accepted:
            self._output.file(path, f"refused: {response.detail.removeprefix('image refused: ')}", style="red")
            return
        self.counts.accepted += 1
        self.counts.repeats += response.is_repeat
        if label.problem is not None:
            self.counts.names[label.problem] += 1
        with_serial = f", serial {printable(label.serial)}" if label.serial else ""
        repeat = "; ingest had it already" if response.is_repeat else ""
        note = f"; {response.note}" if response.note else ""
        self._output.file(path, f"sent as capture {response.capture_id[:12]}{with_serial}{repeat}{note}")

    def _record(self, path: str, entry: JournalEntry) -> None:
        self._journal.record(path, entry, now_s=self._clock.now().timestamp())
        self._entries[path] = entry
        self._unsettled.pop(path, None)
        self._progress_s = self._clock.monotonic()

    def _postpone(self, path: str, file: UnsettledFile, why: str) -> None:
        """Retry one file later, and process others meanwhile."""
        delay_s = self._backoff.delay_s(file.attempts)
        again_s = self._clock.monotonic() + delay_s
        self._unsettled[path] = replace(file, attempts=file.attempts + 1, inspect_at_s=again_s, why=why)
        if file.attempts:  # the first failure may come from a writer that locks its file
            self._output.once(path, f"waits: {why}")

    def _is_done(self) -> bool:
        """Whether --once may end."""
        now_s, settle_s = self._clock.monotonic(), self._options.settle_s
        progress_s = max([self._progress_s, *(file.since_s for file in self._unsettled.values())])
        if now_s - progress_s >= max(ONCE_TIMEOUT_S, 2 * INCOMPLETE_FACTOR * settle_s):
            return True
        is_given_up = all(file.attempts >= ONCE_ATTEMPTS for file in self._unsettled.values())
        is_moved = not self._mover.has_work(self._listing.files, self._entries) or bool(self.counts.unmoved)
        return self._is_listed and is_given_up and is_moved

    def _rest_s(self, cost_s: float) -> float:
        """Longer if a listing is slow, and while ingest is unavailable."""
        poll_s = min(max(self._options.settle_s / 2, 0.2), 1.0)
        rest_s = max(poll_s, min(cost_s * (1 / LISTING_RATIO - 1), REST_MAX_S))
        return max(rest_s, self._backoff.delay_s(self._failures - 1)) if self._failures else rest_s

    async def _rest(self, seconds: float, stop: asyncio.Event) -> None:
        sleep = asyncio.ensure_future(self._clock.sleep(seconds))
        halt = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({sleep, halt}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleep.cancel()
            halt.cancel()
