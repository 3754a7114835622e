"""Ledger in the store: one Parquet file for each batch and partition.

A file changes only where rows of deleted captures are taken out.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import date, datetime

import structlog

from services.trainer.adapters.ledger_merge import CONTENT_TYPE, DIGITS, has_known_columns, kind_of, merge_files
from services.trainer.adapters.parquet import column_names, read_rows, write_rows
from services.trainer.domain.corrections import CorrectionRow
from services.trainer.domain.ledger import LedgerFile, LedgerRow
from services.trainer.domain.sample import LedgerSample
from siad.contracts.deletion import DeletionIndex
from siad.contracts.errors import ConflictError, CorruptError, MissingError
from siad.contracts.expiry import NEVER
from siad.contracts.ids import sha256_hex
from siad.contracts.key_parts import place_in
from siad.contracts.keys import ledger_prefix, merged_ledger_key
from siad.contracts.place import Place
from siad.erasure.deletions import AsyncDeletions
from siad.erasure.expiry_store import StoredExpiry
from siad.erasure.rows import first_written_at
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.port import IF_ABSENT, BlobInfo

log = structlog.get_logger()

ROWS_MAX = 20_000  # of a line and product in memory, about 1.5 kB each; a training set takes a few hundred
READ_AT_ONCE = 16  # files


class ParquetLedger:
    """Writes files, and reads each once for every etag.

    Of a large ledger a bounded sample is held in memory, see ``services.trainer.domain.sample``. Rows of captures that
    have a deletion record are left out even while their file still holds them, and so are pseudo-masks whose image or
    mask may have expired.
    """

    def __init__(self, blobs: AsyncBlobs, *, rows_max: int = ROWS_MAX) -> None:
        self._blobs, self._deletions, self._expiry = blobs, AsyncDeletions(blobs), StoredExpiry(blobs)
        self._rows_max = rows_max
        self._samples: dict[Place, LedgerSample] = {}

    async def write(self, key: str, rows: Sequence[LedgerRow | CorrectionRow]) -> None:
        """Store one file; a repeat leaves it as it is.

        Where other rows have these offsets, because the broker was replaced by an empty one, both files are kept.
        """
        data = await self._blobs.run(write_rows, type(rows[0]) if rows else LedgerRow, rows)
        try:
            await self._blobs.put(key, data, content_type=CONTENT_TYPE, condition=IF_ABSENT)
        except ConflictError:
            with suppress(MissingError):  # merged meanwhile: its rows are in another file
                if (await self._blobs.get(key)).data == data:
                    return
            other = merged_ledger_key(place_in(key), sha256_hex(data)[:DIGITS])
            log.warning("ledger_offsets_repeated", key=key, stored_as=other)
            await self._blobs.put(other, data, content_type=CONTENT_TYPE)

    async def read(self, place: Place) -> list[LedgerFile]:
        """Read the files without deleted captures; unreadable ones have no rows.

        Reads only files that are new or have changed, the newest first.
        """
        infos = {info.key: info for info in await self._blobs.list_all(ledger_prefix(*place))}
        deleted = await self._deletions.read(place.line)
        sample = self._samples.setdefault(place, LedgerSample(self._rows_max))
        new = [infos[key] for key in sample.to_read({key: info.etag for key, info in infos.items()})]
        new.sort(key=lambda info: (info.modified_at, info.key), reverse=True)
        for start in range(0, len(new), READ_AT_ONCE):
            part = new[start : start + READ_AT_ONCE]
            files = await asyncio.gather(*(self._fetch(info, deleted) for info in part))
            sample.add((info.etag, file) for info, file in zip(part, files, strict=True))
        expiry, _ = await self._expiry.read(place.line)
        kept_from = max(expiry.images_from, expiry.masks_from)
        return [_without(file, deleted, kept_from) for file in sample.files()]

    async def merge(self, place: Place, files: Sequence[str]) -> bool:
        """Make one file of several."""
        return await self._blobs.run(merge_files, self._blobs.blobs, place, files)

    async def _fetch(self, info: BlobInfo, deleted: DeletionIndex) -> LedgerFile:
        file = LedgerFile(key=info.key, written_at=info.modified_at, size_bytes=info.size_bytes)
        try:
            data = (await self._blobs.get(info.key)).data
            file = await self._blobs.run(_read_file, file, data)
            first: datetime | None = await self._blobs.run(first_written_at, data)
            rows: list[LedgerRow | CorrectionRow] = [*file.rows, *file.corrections]
            erased = any(deleted.covers(row.capture_id, row.received_at) for row in rows)
            file = replace(file, written_at=first or info.modified_at, holds_erased=erased)
        except MissingError:  # deleted with its last row since it was listed
            log.info("ledger_file_gone", key=info.key)
            file = replace(file, is_mergeable=False)
        except CorruptError as error:
            log.error("ledger_file_left_out", key=info.key, reason=str(error))
            file = replace(file, is_mergeable=False)
        return file


def _read_file(file: LedgerFile, data: bytes) -> LedgerFile:
    """Read the rows of one file, whose columns show their kind.

    Its name does not: a record that was sent again has the position that it has in the retry topic.
    """
    names = column_names(data)
    if kind_of(names) is CorrectionRow:
        file = replace(file, corrections=tuple(read_rows(CorrectionRow, data)))
    else:
        file = replace(file, rows=tuple(read_rows(LedgerRow, data)))
    return replace(file, is_mergeable=has_known_columns(names))


def _without(file: LedgerFile, deleted: DeletionIndex, kept_from: date) -> LedgerFile:
    if not deleted.captures and deleted.before_at is None and kept_from == NEVER:
        return file
    kept = (row for row in file.rows if row.received_at.date() >= kept_from)
    rows = tuple(row for row in kept if not deleted.covers(row.capture_id, row.received_at))
    corrections = tuple(row for row in file.corrections if not deleted.covers(row.capture_id, row.received_at))
    return replace(file, rows=rows, corrections=corrections)
