"""The bus in one file on one machine, where there is no Kafka: SQLite, any number of processes, no server.

Work topics have as many partitions as on Kafka, and a key has the same; but a group has one member at a time, because
there is nobody who could deal places out anew. A second one waits, and takes over at once when the first is gone,
also by ``kill -9``: the kernel gives a dead process's lock back.

A message is acknowledged once it lies on disk. What the file holds and how far each group is change in transactions,
so that neither is ever ahead of the other.
"""

import asyncio
import fcntl
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Literal
from urllib.parse import quote

from siad.contracts.errors import TransientError
from siad.contracts.topics import Topic
from siad.runtime.bus.embedded.consumer import EmbeddedConsumer, EmbeddedStateReader
from siad.runtime.bus.embedded.file import ConnectionOptions, identity
from siad.runtime.bus.embedded.log import create
from siad.runtime.bus.embedded.log_reader import EmbeddedLogReader
from siad.runtime.bus.embedded.producer import EmbeddedProducer
from siad.runtime.bus.embedded.sqlite_thread import ChangeWatcher, SqliteThread
from siad.runtime.bus.port import OnAssign, OnRevoke
from siad.runtime.bus.settings import BusSettings, path_of

ASK_EVERY_S = 0.05  # whether the group's member has gone


class EmbeddedBus:
    """One file that all processes of a machine share."""

    def __init__(self, settings: BusSettings) -> None:
        self._settings = settings
        self.path = path_of(settings.bootstrap)
        self._lookout = ChangeWatcher(self.path)

    async def create_topics(self, topics: Sequence[Topic]) -> None:
        """Make the file and the topics that are missing; leave those that stand.

        Raises:
            RuntimeError: the file is no bus, or damaged, or a state topic stands there with several partitions.
        """
        async with self._lane(create_file=True) as lane:
            await lane.run(create, topics, self._settings.partitions)

    async def probe(self) -> None:
        """Return if the file is there and can be read."""
        async with self._lane() as lane:
            await lane.run(identity)

    @asynccontextmanager
    async def producer(self) -> AsyncIterator[EmbeddedProducer]:
        """Open a producer; leaving waits for what is under way."""
        # a publish may have to wait for the one before it, so each takes half of the time
        opening = ConnectionOptions(self.path, busy_s=self._settings.publish_timeout_s / 2, sync="FULL")
        producer = EmbeddedProducer(SqliteThread(opening), self._settings)
        try:
            yield producer
        finally:
            await producer.close()

    @asynccontextmanager
    async def consumer(
        self,
        topics: Sequence[str],
        *,
        group: str,
        start: Literal["earliest", "latest"],
        on_assign: OnAssign | None = None,
        on_revoke: OnRevoke | None = None,
    ) -> AsyncIterator[EmbeddedConsumer]:
        """Be the one member of ``group``; waits for a while where there is one already.

        Raises:
            TransientError: there still is one; says which process it is.
        """
        async with AsyncExitStack() as stack:
            await self.probe()  # no group without a file
            await stack.enter_async_context(self._membership(group))
            lane = await stack.enter_async_context(self._lane())  # closed before the lock is given back
            stack.enter_context(self._lookout.on_duty())
            consumer = EmbeddedConsumer(
                lane, self._lookout, frozenset(topics), group=group, start=start, hooks=(on_assign, on_revoke)
            )
            await consumer.deal()
            yield consumer

    @asynccontextmanager
    async def state(self, topic: str) -> AsyncIterator[EmbeddedStateReader]:
        """Open a reader of one state topic."""
        async with self._lane() as lane:
            with self._lookout.on_duty():
                yield EmbeddedStateReader(lane, self._lookout, topic)

    @asynccontextmanager
    async def tail(self, topic: str, *, last: int) -> AsyncIterator[EmbeddedLogReader]:
        """Open a reader of one work topic, ``last`` records before the end of each partition."""
        async with self._lane() as lane:
            with self._lookout.on_duty():
                yield EmbeddedLogReader(lane, self._lookout, topic, last)

    @asynccontextmanager
    async def _lane(self, *, create_file: bool = False) -> AsyncIterator[SqliteThread]:
        lane = SqliteThread(ConnectionOptions(self.path, busy_s=self._settings.request_timeout_s, create=create_file))
        try:
            yield lane
        finally:
            await lane.close()

    @asynccontextmanager
    async def _membership(self, group: str) -> AsyncIterator[None]:
        """Hold the group's lock, for as long as this process lives at most."""
        folder = self.path.with_name(f"{self.path.name}-groups")
        try:
            folder.mkdir(exist_ok=True)
            file = os.open(folder / f"{quote(group, safe='')}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            msg = f"can't make the lock of group {group}: {error}; it is tried again. Mend the folder's owner or mode"
            raise TransientError(msg) from error
        try:
            await self._take(file, group)
            yield
        finally:
            os.close(file)

    async def _take(self, file: int, group: str) -> None:
        give_up_s = time.monotonic() + self._settings.session_timeout_s
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic() > give_up_s:
                    holder = os.pread(file, 20, 0).decode(errors="replace").strip() or "unknown"
                    msg = (
                        f"group {group} has its one member already, process {holder}, and the embedded bus {self.path} "
                        "allows no second; nothing was read. Stop one of the two; for several members, use Kafka"
                    )
                    raise TransientError(msg) from error
                await asyncio.sleep(ASK_EVERY_S)
            else:
                os.ftruncate(file, 0)
                os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
                return
