"""Transactions of the embedded bus: one SQLite transaction for results and offset.

A group has one member at a time, by the lock of its file, so there is no other owner to fence.
"""

import time
from collections.abc import Sequence

from siad.runtime.bus.embedded.log import GroupCommits, append_and_commit, commits_of
from siad.runtime.bus.embedded.sqlite_thread import SqliteThread
from siad.runtime.bus.outgoing import prepare
from siad.runtime.bus.port import Commit, Message, TopicPartition


class EmbeddedTransactions:
    """Transactions of one group in the file."""

    def __init__(self, thread: SqliteThread, group: str) -> None:
        self._thread, self._group = thread, group

    async def open(self, source: TopicPartition) -> Commit | None:
        """Read the group's commit of a partition."""
        return (await self._thread.run(commits_of, self._group)).get(source)

    async def publish(self, source: TopicPartition, messages: Sequence[Message], commit: Commit) -> None:
        """Publish and commit, both or neither; wait until both are on disk."""
        commits = GroupCommits(self._group, {source: commit})
        now_ms = time.time_ns() // 1_000_000
        await self._thread.run(append_and_commit, prepare(messages), commits, now_ms=now_ms)
