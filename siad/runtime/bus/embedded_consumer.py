"""Reads from the embedded bus: as the one member of a group, or a state topic whole."""

import sqlite3
import time
from collections.abc import Iterable, Mapping
from typing import Literal

import structlog

from siad.core.errors import TransientError
from siad.runtime.bus.embedded_lane import Lane, Lookout
from siad.runtime.bus.embedded_log import Span, commit, commits_of, read, spans
from siad.runtime.bus.port import Commit, OnAssign, OnRevoke, Place, Record

log = structlog.get_logger()

CHANGES_MAX = 500  # records that one look for changes brings


class EmbeddedConsumer:
    """The one member of its group."""

    def __init__(
        self,
        lane: Lane,
        lookout: Lookout,
        topics: frozenset[str],
        *,
        group: str,
        start: Literal["earliest", "latest"],
        hooks: tuple[OnAssign | None, OnRevoke | None],
    ) -> None:
        self._lane, self._lookout, self._topics, self._group, self._start = lane, lookout, topics, group, start
        self._on_assign, self._on_revoke = hooks
        self._positions: dict[Place, int] = {}  # of every place that is assigned: the offset that comes
        self._paused: set[Place] = set()
        self._turn = 0  # which place is first served; else a full one would starve those behind it

    async def deal(self) -> None:
        """Take every place that there is; where some came since, all are revoked and dealt anew, as on Kafka."""
        standing, commits = await self._lane.run(_look, self._topics, self._group)
        if standing.keys() == self._positions.keys():
            return
        if self._positions and self._on_revoke is not None:
            await self._on_revoke(self.assigned())
            commits = await self._lane.run(commits_of, self._group)
        if self._on_assign is not None:
            await self._on_assign(frozenset(standing))
        self._paused.clear()
        self._positions = {place: self._beginning(span, commits.get(place)) for place, span in standing.items()}

    async def poll(self, *, max_records: int, timeout_s: float) -> list[Record]:
        """Fetch up to ``max_records``; [] after ``timeout_s``."""
        end_s = time.monotonic() + timeout_s
        while True:
            generation = self._lookout.generation
            records = await self._fetch(max_records)
            left_s = end_s - time.monotonic()
            if records or left_s <= 0:
                return records
            await self._lookout.wait(generation, left_s)

    def assigned(self) -> frozenset[Place]:
        """The places that are this member's: all that there are."""
        return frozenset(self._positions)

    def pause(self, places: frozenset[Place]) -> None:
        """Fetch nothing from these places until they are resumed."""
        self._paused |= places & self._positions.keys()

    def resume(self, places: frozenset[Place]) -> None:
        """Fetch from these places again."""
        self._paused -= places

    async def commit(self, commits: Mapping[Place, Commit]) -> None:
        """Move the group's offsets."""
        if strange := commits.keys() - self._positions.keys():
            msg = f"commit refused: {', '.join(map(str, sorted(strange)))} moved to another member"
            raise TransientError(msg)
        if commits:
            await self._lane.run(commit, self._group, dict(commits))

    async def committed(self, place: Place) -> Commit | None:
        """The group's last commit at ``place``."""
        return (await self._lane.run(commits_of, self._group)).get(place)

    async def lag(self) -> Mapping[Place, int]:
        """Records behind the end that are not yet committed."""
        standing, commits = await self._lane.run(_look, self._topics, self._group)
        return {
            place: span.next - max(span.oldest, commits[place].offset if place in commits else 0)
            for place, span in standing.items()
            if place in self._positions
        }

    async def _fetch(self, max_records: int) -> list[Record]:
        wanted = {place: offset for place, offset in self._positions.items() if place not in self._paused}
        standing, records = await self._lane.run(_fetch, self._topics, wanted, max_records=max_records, turn=self._turn)
        if standing.keys() != self._positions.keys():
            await self.deal()
            return []
        self._turn += 1
        for place, offset in wanted.items():
            if (oldest := standing[place].oldest) > offset:
                log.warning("bus_records_expired", group=self._group, place=place, offset=offset, oldest=oldest)
                self._positions[place] = oldest
        records = [record for record in records if record.place not in self._paused]  # it may have been meanwhile
        for record in records:
            self._positions[record.place] = record.offset + 1
        return records

    def _beginning(self, span: Span, committed: Commit | None) -> int:
        if committed is not None:
            return committed.offset
        return span.oldest if self._start == "earliest" else span.next


class EmbeddedStateReader:
    """Reads one state topic whole, without a group."""

    def __init__(self, lane: Lane, lookout: Lookout, topic: str) -> None:
        self._lane, self._lookout, self._place = lane, lookout, Place(topic, 0)
        self._position = 0

    async def snapshot(self) -> dict[str, Record]:
        """The last record of each key that is not gone, up to the end as it is now."""
        table: dict[str, Record] = {}
        for record in await self._next(count=-1):
            if record.value is None:
                table.pop(record.key.decode(), None)
            else:
                table[record.key.decode()] = record
        return table

    async def changes(self, *, timeout_s: float) -> list[Record]:
        """What came since, in order; [] after ``timeout_s``."""
        end_s = time.monotonic() + timeout_s
        while True:
            generation = self._lookout.generation
            records = await self._next(count=CHANGES_MAX)
            left_s = end_s - time.monotonic()
            if records or left_s <= 0:
                return records
            await self._lookout.wait(generation, left_s)

    async def _next(self, *, count: int) -> list[Record]:
        records = await self._lane.run(_read_state, self._place, offset=self._position, count=count)
        if records:
            self._position = records[-1].offset + 1
        return records


def _look(
    connection: sqlite3.Connection, topics: Iterable[str], group: str
) -> tuple[dict[Place, Span], dict[Place, Commit]]:
    return spans(connection, topics), commits_of(connection, group)


def _fetch(
    connection: sqlite3.Connection,
    topics: Iterable[str],
    wanted: Mapping[Place, int],
    *,
    max_records: int,
    turn: int,
) -> tuple[dict[Place, Span], list[Record]]:
    standing = spans(connection, topics)
    waiting = [place for place in standing if place in wanted and standing[place].next > wanted[place]]
    records: list[Record] = []
    for number in range(len(waiting)):
        place = waiting[(turn + number) % len(waiting)]
        span, count = standing[place], max_records - len(records)
        if count:
            records += read(connection, place, span.id, offset=wanted[place], count=count)
    return standing, records


def _read_state(connection: sqlite3.Connection, place: Place, *, offset: int, count: int) -> list[Record]:
    if (span := spans(connection, [place.topic]).get(place)) is None:
        msg = f"topic {place.topic} does not exist; create it first"
        raise TransientError(msg)
    return read(connection, place, span.id, offset=offset, count=count)
