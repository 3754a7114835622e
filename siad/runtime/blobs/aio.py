"""Blob port for asyncio: the same calls, in separate threads."""

import asyncio
import contextvars
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from siad.runtime.blobs.port import Blob, BlobInfo, Blobs, PutCondition, get_verified

P = ParamSpec("P")
R = TypeVar("R")


class AsyncBlobs:
    """One bucket for asyncio.

    It has threads of its own, since ``asyncio.to_thread`` has only six on two cores.

    Args:
        blobs: the store.
        workers: maximum of concurrent calls; at least the captures in flight.
    """

    def __init__(self, blobs: Blobs, *, workers: int = 16) -> None:
        self.blobs = blobs
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix="store")

    async def run(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a function in a thread; its logs keep the trace."""
        call = partial(contextvars.copy_context().run, partial(function, *args, **kwargs))
        return await asyncio.get_running_loop().run_in_executor(self._executor, call)

    def uri(self, key: str) -> str:
        """Return the address of ``key``."""
        return self.blobs.uri(key)

    def key_of(self, uri: str) -> str:
        """Return the key of an address in this bucket, else raise ValueError."""
        return self.blobs.key_of(uri)

    async def get(self, key: str) -> Blob:
        """Read one object whole."""
        return await self.run(self.blobs.get, key)

    async def get_verified(self, key: str, *, sha256: str) -> bytes:
        """Read one object and compare it with its digest."""
        return await self.run(get_verified, self.blobs, key, sha256=sha256)

    async def head(self, key: str) -> BlobInfo | None:
        """Describe one object; None where there is none."""
        return await self.run(self.blobs.head, key)

    async def put(
        self,
        key: str,
        data: bytes,
        *,
        content_type: str = "application/octet-stream",
        condition: PutCondition | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> str:
        """Write one object whole and return its etag."""
        return await self.run(self.blobs.put, key, data, content_type=content_type, condition=condition, tags=tags)

    async def list_all(self, prefix: str, *, start_after: str = "") -> list[BlobInfo]:
        """List every object whose key begins with ``prefix``, by key, after ``start_after``."""
        return await self.run(lambda: list(self.blobs.list(prefix, start_after=start_after)))

    async def delete(self, key: str) -> None:
        """Delete one object; a missing one is no error."""
        await self.run(self.blobs.delete, key)

    async def probe(self) -> None:
        """Return if the bucket responds."""
        await self.run(self.blobs.probe)

    def close(self) -> None:
        """Stop the threads; calls that have not begun are cancelled."""
        self._executor.shutdown(wait=False, cancel_futures=True)
