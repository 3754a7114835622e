"""Spool of verdicts on the local disk, while the broker refuses them.

The consumer owns the verdicts: it publishes them in the order of their captures, then commits. The spool remembers what
was judged, so that a process that ends meanwhile judges nothing twice: the captures are delivered again, and their
verdicts are taken from here as they were. Another process that gets them instead judges them itself; what is left here
then expires. So an entry is published by the owner of its capture or by no process, and a lost entry costs work only.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

import structlog

from services.inference import metrics
from siad.contracts.codec import decode, encode
from siad.contracts.errors import PoisonError, TransientError
from siad.contracts.events import ImageStored, VerdictGiven
from siad.runtime.clock import Clock

log = structlog.get_logger()

R = TypeVar("R")

KEPT_S: Final = 7 * 24 * 3600.0  # as long as the broker keeps the captures
ANNOUNCED_AT: Final = 0.5  # share of the room in use from which readiness names the spool


class VerdictSpool:
    """The port ``SpooledVerdicts``, in one SQLite file.

    Args:
        path: of the file; its folder is created.
        verdicts_max: entries at which no more captures are judged while the broker refuses.
        clock: time.
    """

    def __init__(self, path: Path, *, verdicts_max: int, clock: Clock) -> None:
        self._path, self._max, self._clock = path, verdicts_max, clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="spool")
        self._is_refusing = False
        self._images: dict[str, str] = {}  # image by capture, of every entry
        self._waiting: dict[str, VerdictGiven] = {}  # by capture, judged and not yet acknowledged; the oldest first
        self._announced = 0.0  # share of the room that the log has named
        self._connection: sqlite3.Connection | None = None
        self._thread.submit(self._open).result()
        self._report()

    def close(self) -> None:
        """Finish the last write, and close the file."""
        self._thread.submit(self._close).result()
        self._thread.shutdown()

    async def check(self) -> None:
        """Readiness: raise TransientError from half of the room on."""
        if self._is_refusing and self._share >= ANNOUNCED_AT:
            raise TransientError(self._description)

    async def find(self, event: ImageStored) -> VerdictGiven | None:
        """Return the verdict that a capture was given before; None without one."""
        if self._images.get(event.capture_id) != event.image_id:
            return None
        value = await self._run(lambda connection: _read(connection, event.capture_id))
        try:
            return None if value is None else decode(VerdictGiven, value)
        except PoisonError as error:
            log.warning("spooled_verdict_refused", reason=str(error), remedy="the capture is judged again")
            return None

    def require_room(self) -> None:
        """Raise TransientError where the broker refuses verdicts and the spool is full."""
        if self._is_refusing and len(self._images) >= self._max:
            raise TransientError(self._description)

    async def keep(self, verdict: VerdictGiven) -> None:
        """Write one verdict if the broker refuses verdicts, else remember it.

        A verdict that waits for those before it when the broker begins to refuse is in no refused batch.
        """
        if self._is_refusing:
            await self._keep([verdict])
            return
        self._waiting[verdict.capture_id] = verdict
        while len(self._waiting) > self._max:
            self._waiting.pop(next(iter(self._waiting)))

    async def on_refused(self, verdicts: Collection[VerdictGiven]) -> None:
        """Write refused verdicts, those that wait, and those that follow."""
        if not self._is_refusing:
            log.warning("verdicts_spooled", file=str(self._path), reason="the broker refuses them")
        self._is_refusing = True
        unpublished = self._waiting | {verdict.capture_id: verdict for verdict in verdicts}  # as they were sent
        self._waiting = {}
        await self._keep([verdict for capture, verdict in unpublished.items() if capture not in self._images])

    async def on_published(self, verdicts: Collection[VerdictGiven]) -> None:
        """Delete verdicts that the broker acknowledged."""
        self._is_refusing = False
        for verdict in verdicts:
            self._waiting.pop(verdict.capture_id, None)
        published = [verdict.capture_id for verdict in verdicts if verdict.capture_id in self._images]
        if published:
            await self._run(lambda connection: _delete(connection, published))
            for capture in published:
                del self._images[capture]
            self._report()

    async def _keep(self, verdicts: Collection[VerdictGiven]) -> None:
        now_s = self._clock.now().timestamp()
        rows = [(verdict.capture_id, verdict.image_id, encode(verdict), now_s) for verdict in verdicts]
        if rows and await self._run(lambda connection: _insert(connection, rows)) is True:
            self._images |= {verdict.capture_id: verdict.image_id for verdict in verdicts}
            self._report()

    @property
    def _share(self) -> float:
        return len(self._images) / self._max

    @property
    def _description(self) -> str:
        rest = "nothing more is judged" if self._share >= 1 else "judging goes on until it is full"
        return (
            f"the broker refuses verdicts; {len(self._images)} of at most {self._max} are spooled in {self._path}, and "
            f"{rest}. No capture is lost: the rest waits in the broker. Restore the broker"
        )

    def _report(self) -> None:
        metrics.SPOOLED.set(len(self._images))
        metrics.SPOOL_RATIO.set(self._share)
        for level in (ANNOUNCED_AT, 1.0):
            if self._announced < level <= self._share:
                log.error("spool_full" if level == 1 else "spool_half_full", reason=self._description)
        self._announced = self._share

    async def _run(self, work: Callable[[sqlite3.Connection], R]) -> R | None:
        """Run work on the file; None where the disk refuses."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._try, work)

    def _try(self, work: Callable[[sqlite3.Connection], R]) -> R | None:
        if self._connection is None:
            return None
        try:
            with self._connection:
                return work(self._connection)
        except sqlite3.Error as error:
            log.error("spool_unavailable", file=str(self._path), reason=str(error), effect=_EFFECT)
            return None

    def _open(self) -> None:
        try:
            self._connection = _connect_anew(self._path)
        except (sqlite3.Error, OSError) as error:
            log.error("spool_unavailable", file=str(self._path), reason=str(error), effect=_EFFECT)
            return
        before_s = self._clock.now().timestamp() - KEPT_S
        with self._connection:
            expired = self._connection.execute("DELETE FROM verdicts WHERE spooled_s < ?", (before_s,)).rowcount
        if expired:
            log.info("spooled_verdicts_expired", count=expired, reason="another process had their captures")
        self._images = dict(self._connection.execute("SELECT capture, image FROM verdicts"))

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()


_EFFECT: Final = "captures that were not published are judged again after a restart; none is lost"


def _connect(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=10.0)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")  # outlives the process; after a power failure work is repeated
    connection.execute(
        "CREATE TABLE IF NOT EXISTS verdicts (capture TEXT PRIMARY KEY, image TEXT, value BLOB, spooled_s REAL)"
    )
    return connection


def _connect_anew(path: Path) -> sqlite3.Connection:
    """Open the file; one that is damaged is set aside."""
    try:
        return _connect(path)
    except sqlite3.DatabaseError as error:
        if not path.is_file():
            raise
        damaged = path.with_suffix(".damaged")
        log.error("spool_replaced", file=str(path), reason=str(error), kept_as=str(damaged), effect=_EFFECT)
        path.replace(damaged)
        return _connect(path)


def _insert(connection: sqlite3.Connection, rows: Sequence[tuple[str, str, bytes, float]]) -> bool:
    connection.executemany("INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?, ?)", rows)
    return True


def _read(connection: sqlite3.Connection, capture: str) -> bytes | None:
    row = connection.execute("SELECT value FROM verdicts WHERE capture = ?", (capture,)).fetchone()
    return None if row is None else bytes(row[0])


def _delete(connection: sqlite3.Connection, captures: Collection[str]) -> bool:
    connection.executemany("DELETE FROM verdicts WHERE capture = ?", [(capture,) for capture in captures])
    return True
