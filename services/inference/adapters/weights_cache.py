"""Files of weights on the local disk, named by their digest.

Weights never change under their digest, so a copy is as good as the store: it is read first, and serves while the store
is unavailable, also after a restart. Every read compares the bytes with the digest: a torn or damaged file is dropped,
and read from the store again. A disk that fails costs the copy and nothing else.
"""

import os
import re
import threading
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

from services.inference import metrics
from siad.contracts.ids import sha256_hex
from siad.models.runner.compiled_files import make_room

log = structlog.get_logger()

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class WeightsCache:
    """The port ``DigestCache``: a bounded folder of files by SHA-256. Thread-safe.

    Args:
        folder: created with the first file.
        bytes_max: over it the least recently read files are deleted.
    """

    def __init__(self, folder: Path, *, bytes_max: int) -> None:
        self._folder, self._bytes_max = folder, bytes_max
        self._lock = threading.Lock()

    def read(self, sha256: str) -> bytes | None:
        """Return the bytes of a digest; None without an intact copy."""
        path = self._folder / sha256
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            metrics.WEIGHTS_CACHE.labels("miss").inc()
            return None
        except OSError as error:
            self._report("read", sha256, error)
            return None
        if sha256_hex(data) != sha256:
            log.warning("cached_weights_damaged", file=str(path), bytes=len(data), remedy="read from the store again")
            metrics.WEIGHTS_CACHE.labels("damaged").inc()
            with suppress(OSError):
                path.unlink(missing_ok=True)
            return None
        with suppress(OSError):
            os.utime(path)  # the time of the last read orders the files
        metrics.WEIGHTS_CACHE.labels("hit").inc()
        return data

    def write(self, sha256: str, data: bytes) -> None:
        """Keep verified bytes; a reader never sees a part of them."""
        if len(data) > self._bytes_max:
            return
        unfinished = self._folder / f"{sha256}.{os.getpid()}.{threading.get_ident()}.tmp"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with self._lock:
                make_room(self._files(), bytes_max=self._bytes_max - len(data))
            unfinished.write_bytes(data)
            unfinished.replace(self._folder / sha256)
        except OSError as error:
            self._report("written", sha256, error)
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)

    def keep_only(self, digests: Collection[str]) -> None:
        """Delete the files that are not among these."""
        with self._lock:
            for path, _, _ in self._files():
                if path.name not in digests:
                    with suppress(OSError):
                        path.unlink(missing_ok=True)

    def _files(self) -> Iterator[tuple[Path, float, int]]:
        """List path, time of the last read and bytes of every file.

        Unfinished files of ended processes are included.
        """
        with suppress(FileNotFoundError), os.scandir(self._folder) as entries:
            for entry in entries:
                if _DIGEST.match(entry.name):
                    with suppress(FileNotFoundError):
                        found = entry.stat()
                        yield Path(entry.path), found.st_mtime, found.st_size

    def _report(self, what: str, sha256: str, error: OSError) -> None:
        metrics.WEIGHTS_CACHE.labels("failed").inc()
        log.warning(
            "cached_weights_unavailable",
            what=f"{sha256[:12]} was not {what}",
            reason=str(error),
            remedy=f"correct the owner, mode or free space of {self._folder}; the store is used meanwhile",
        )
