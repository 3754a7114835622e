"""Documents of one kind in the store, read again after two seconds.

Credentials are checked at every request, so reading each time would add the store's latency to every request, and its
outages. A change counts within two seconds in every process. While the store is away what was read last is used: no
change can be stored meanwhile either.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, Generic, TypeVar

import structlog

from siad.contracts.errors import CorruptError, MissingError, TransientError
from siad.contracts.keys import name_of
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.port import Blobs
from siad.runtime.clock import Clock

log = structlog.get_logger()

T = TypeVar("T")

REFRESH_S: Final = 2.0  # longest that a change is unknown
UNKNOWN_S: Final = 0.5  # for a name that is not known, which may be new
READ_S: Final = 5.0  # to read all documents again; then the old ones are used


def read_documents(blobs: Blobs, prefix: str, read: Callable[[bytes], T]) -> list[T]:
    """Read every document below a prefix, by key.

    Raises:
        CorruptError: one can't be read.
    """
    return [read(blobs.get(info.key).data) for info in blobs.list(prefix)]


class Directory(Generic[T]):
    """Documents below a prefix, by name; read on demand."""

    def __init__(self, store: AsyncBlobs, prefix: str, read: Callable[[bytes], T], *, clock: Clock) -> None:
        """Describe the documents; nothing is read yet.

        Args:
            store: the store.
            prefix: of their keys.
            read: reads one; raises CorruptError.
            clock: for their age.
        """
        self._store, self._prefix, self._read, self._clock = store, prefix, read, clock
        self._held: dict[str, tuple[str, T | None]] = {}  # by key: etag, and the document; None: unreadable
        self._read_at_s: float | None = None
        self._tried_at_s = float("-inf")
        self._reading = asyncio.Lock()

    async def find(self, name: str) -> T | None:
        """Return the document of a name; None where there is none.

        Raises:
            TransientError: the store is unavailable, and was from the start on.
        """
        found = (await self.all()).get(name)
        if found is None:
            await self._refresh(UNKNOWN_S)
            found = self._documents().get(name)
        return found

    async def all(self) -> Mapping[str, T]:
        """Return every document by its name; raises as ``find`` does."""
        await self._refresh(REFRESH_S)
        return self._documents()

    def expire(self) -> None:
        """Read again at the next call, after a change by this process."""
        self._tried_at_s = float("-inf")

    def _documents(self) -> dict[str, T]:
        return {name_of(key): found for key, (_, found) in self._held.items() if found is not None}

    async def _refresh(self, age_s: float) -> None:
        if self._clock.monotonic() - self._tried_at_s < age_s and self._read_at_s is not None:
            return
        async with self._reading:
            if self._clock.monotonic() - self._tried_at_s < age_s and self._read_at_s is not None:
                return
            try:
                async with asyncio.timeout(READ_S):
                    await self._read_changes()
                self._read_at_s = self._clock.monotonic()
            except (TransientError, MissingError, TimeoutError) as error:
                if self._read_at_s is None:
                    msg = f"{self._prefix} can't be read, so no credentials can be checked: {error or 'no answer'}"
                    raise TransientError(msg) from error
                log.warning("access_not_refreshed", prefix=self._prefix, reason=str(error) or "no answer")
            finally:
                self._tried_at_s = self._clock.monotonic()

    async def _read_changes(self) -> None:
        infos = await self._store.list_all(self._prefix)
        held: dict[str, tuple[str, T | None]] = {}
        for info in infos:
            known = self._held.get(info.key)
            if known is not None and known[0] == info.etag:
                held[info.key] = known
                continue
            try:
                blob = await self._store.get(info.key)
                held[info.key] = (blob.etag, self._read(blob.data))
            except MissingError:
                continue  # deleted since it was listed
            except CorruptError as error:
                log.error("access_document_damaged", key=info.key, reason=f"{error}; it gives no access")
                held[info.key] = (info.etag, None)
        self._held = held
