"""Quarantine records in the store."""

from collections import defaultdict

from siad.contracts.errors import ConflictError
from siad.contracts.keys import kind_of_quarantine, name_of, quarantine_key, quarantine_prefix
from siad.contracts.quarantine import QuarantineIndex, QuarantineRecord, TaintedKind
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.port import IF_ABSENT, Blobs


class Quarantine:
    """Reads and writes the quarantine of a line."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def read(self, line: str) -> QuarantineIndex:
        """List all that is in quarantine of a line."""
        found: dict[str, set[str]] = defaultdict(set)
        for info in self._blobs.list(quarantine_prefix(line)):
            found[kind_of_quarantine(info.key)].add(name_of(info.key))
        return QuarantineIndex(
            weights=frozenset(found[TaintedKind.WEIGHTS]),
            captures=frozenset(found[TaintedKind.CAPTURE]),
            corrections=frozenset(found[TaintedKind.CORRECTION]),
        )

    def record(self, line: str, kind: TaintedKind, subject: str) -> QuarantineRecord | None:
        """Read one record; None where the subject is not in quarantine."""
        key = quarantine_key(line, kind, subject)
        return None if self._blobs.head(key) is None else QuarantineRecord.from_json(self._blobs.get(key).data)

    def put(self, record: QuarantineRecord) -> None:
        """Write a record, unless there is one."""
        key = quarantine_key(record.line, record.kind, record.subject)
        try:
            self._blobs.put(key, record.to_json(), content_type="application/json", condition=IF_ABSENT)
        except ConflictError:
            return


class AsyncQuarantine:
    """The same for asyncio."""

    def __init__(self, blobs: AsyncBlobs) -> None:
        self._blobs, self._quarantine = blobs, Quarantine(blobs.blobs)

    async def read(self, line: str) -> QuarantineIndex:
        """List all that is in quarantine of a line."""
        return await self._blobs.run(self._quarantine.read, line)
