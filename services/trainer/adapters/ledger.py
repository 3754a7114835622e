"""The ledger in the store: one Parquet file a batch and partition, never changed once written."""

from collections.abc import Sequence

import structlog

from services.trainer.adapters.parquet import read_rows, write_rows
from services.trainer.domain.ledger import LedgerFile, LedgerRow
from siad.core.errors import CorruptError
from siad.core.keys import ledger_prefix
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.port import BlobInfo

log = structlog.get_logger()

ROWS_MAX = 20_000  # a line and product, in memory: the newest files; a training set takes a few hundred


class ParquetLedger:
    """Writes files; reads each once and keeps its rows, since a file's name says its content."""

    def __init__(self, blobs: AsyncBlobs, *, rows_max: int = ROWS_MAX) -> None:
        self._blobs = blobs
        self._rows_max = rows_max
        self._files: dict[str, LedgerFile] = {}

    async def write(self, key: str, rows: Sequence[LedgerRow]) -> None:
        """Store one file; the same key overwrites itself with the same rows."""
        data = await self._blobs.run(write_rows, LedgerRow, rows)
        await self._blobs.put(key, data, content_type="application/vnd.apache.parquet")

    async def read(self, line: str, product: str) -> list[LedgerFile]:
        """The newest files; one that can't be read has no rows."""
        found = await self._blobs.list_all(ledger_prefix(line, product))
        files: dict[str, LedgerFile] = {}
        room = self._rows_max
        for info in sorted(found, key=lambda info: info.modified_at, reverse=True):
            if room <= 0:
                break
            files[info.key] = self._files.get(info.key) or await self._fetch(info)
            room -= len(files[info.key].rows)
        self._keep(ledger_prefix(line, product), files)
        return list(files.values())

    async def _fetch(self, info: BlobInfo) -> LedgerFile:
        rows: list[LedgerRow] = []
        try:
            rows = await self._blobs.run(read_rows, LedgerRow, (await self._blobs.get(info.key)).data)
        except CorruptError as error:
            log.error("ledger_file_left_out", key=info.key, reason=str(error))
        return LedgerFile(key=info.key, written_at=info.modified_at, rows=tuple(rows))

    def _keep(self, prefix: str, files: dict[str, LedgerFile]) -> None:
        for key in [key for key in self._files if key.startswith(prefix) and key not in files]:
            del self._files[key]
        self._files.update(files)
