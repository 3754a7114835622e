"""The message bus in one SQLite file, for one machine without Kafka.

Any number of processes share the file; there is no server. Work topics have as many partitions as on Kafka, and a key
maps to the same one. A group has one member at a time, because no coordinator could rebalance partitions. A second
member waits, and takes over at once when the first ends, also by ``kill -9``: the kernel releases the lock of a dead
process.

A message is acknowledged once it is on disk. Records and committed offsets change in transactions, so neither is ever
ahead of the other.
"""

import asyncio
import fcntl
import os
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Literal
from urllib.parse import quote

from siad.contracts.errors import TransientError
from siad.contracts.topics import Topic
from siad.runtime.bus.embedded.consumer import EmbeddedConsumer, EmbeddedStateReader
from siad.runtime.bus.embedded.file import ConnectionOptions, identity
from siad.runtime.bus.embedded.log import create
from siad.runtime.bus.embedded.log_reader import EmbeddedLogReader, LogStart
from siad.runtime.bus.embedded.producer import EmbeddedProducer
from siad.runtime.bus.embedded.sqlite_thread import ChangeWatcher, SqliteThread
from siad.runtime.bus.embedded.transactions import EmbeddedTransactions
from siad.runtime.bus.port import NOT_READ, OnAssign, OnRevoke
from siad.runtime.bus.settings import BusSettings, path_of

LOCK_RETRY_S = 0.05  # between two attempts to take a group's lock


class EmbeddedBus:
    """One SQLite file that all processes of a machine share."""

    def __init__(self, settings: BusSettings) -> None:
        self._settings = settings
        self.path = path_of(settings.bootstrap)
        self._watcher = ChangeWatcher(self.path)

    async def create_topics(self, topics: Sequence[Topic]) -> None:
        """Create the file and the topics that are missing.

        Existing topics are left unchanged.

        Raises:
            BusFailedError: the file is not a bus, or damaged, or a state topic exists with several partitions.
        """
        async with self._thread(create_file=True) as thread:
            await thread.run(create, topics, self._settings.partitions)

    async def probe(self) -> None:
        """Raise TransientError unless the file exists and can be read."""
        async with self._thread() as thread:
            await thread.run(identity)

    @asynccontextmanager
    async def producer(self) -> AsyncIterator[EmbeddedProducer]:
        """Open a producer; closing it waits for messages in flight."""
        # A publish may wait for the one before it, so each gets half of the time.
        options = ConnectionOptions(self.path, busy_s=self._settings.publish_timeout_s / 2, sync="FULL")
        producer = EmbeddedProducer(SqliteThread(options), self._settings)
        try:
            yield producer
        finally:
            await producer.close()

    @asynccontextmanager
    async def transactions(self, group: str) -> AsyncIterator[EmbeddedTransactions]:
        """Open transactions of a group."""
        options = ConnectionOptions(self.path, busy_s=self._settings.publish_timeout_s / 2, sync="FULL")
        thread = SqliteThread(options)
        try:
            yield EmbeddedTransactions(thread, group)
        finally:
            await thread.close()

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
        """Become the only member of ``group``.

        Waits up to the session timeout for another member to leave.

        Raises:
            TransientError: the group still has a member; the message names its process.
        """
        async with AsyncExitStack() as stack:
            await self.probe()  # a group needs the file
            await stack.enter_async_context(self._membership(group))
            thread = await stack.enter_async_context(self._thread())  # closed before the lock is released
            stack.enter_context(self._watcher.watching())
            consumer = EmbeddedConsumer(
                thread, self._watcher, frozenset(topics), group=group, start=start, hooks=(on_assign, on_revoke)
            )
            await consumer.assign()
            yield consumer

    @asynccontextmanager
    async def state(self, topic: str) -> AsyncIterator[EmbeddedStateReader]:
        """Open a reader of one state topic."""
        async with self._thread() as thread:
            with self._watcher.watching():
                yield EmbeddedStateReader(thread, self._watcher, topic)

    @asynccontextmanager
    async def tail(
        self, topic: str, *, last: int, resume_at: Mapping[int, int] = NOT_READ
    ) -> AsyncIterator[EmbeddedLogReader]:
        """Open a reader of the end of one work topic."""
        async with self._thread() as thread:
            with self._watcher.watching():
                yield EmbeddedLogReader(thread, self._watcher, LogStart(topic, last, resume_at))

    @asynccontextmanager
    async def _thread(self, *, create_file: bool = False) -> AsyncIterator[SqliteThread]:
        thread = SqliteThread(ConnectionOptions(self.path, busy_s=self._settings.request_timeout_s, create=create_file))
        try:
            yield thread
        finally:
            await thread.close()

    @asynccontextmanager
    async def _membership(self, group: str) -> AsyncIterator[None]:
        """Hold the group's lock; the kernel releases it if this process dies."""
        folder = self.path.with_name(f"{self.path.name}-groups")
        try:
            folder.mkdir(exist_ok=True)
            file = os.open(folder / f"{quote(group, safe='')}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            msg = f"can't create the lock file of group {group}: {error}; retrying. Correct the folder's owner or mode"
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
                        f"group {group} already has a member, process {holder}, and the embedded bus {self.path} "
                        "allows only one; nothing was read. Stop one of the two processes, or use Kafka"
                    )
                    raise TransientError(msg) from error
                await asyncio.sleep(LOCK_RETRY_S)
            else:
                os.ftruncate(file, 0)
                os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
                return
