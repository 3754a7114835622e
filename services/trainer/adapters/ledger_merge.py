"""Merge of small ledger files into one.

The merged file is written first, and only then are its parts deleted, so no row is ever missing; a crash between leaves
rows twice, which readers count once, and the next merge takes both files. An erasure writes its records before it lists
the ledger. So deletion records are read again once the merged file is stored: where one covers a row of it, the file is
withdrawn and its parts stay, for the erasure to rewrite.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime

import structlog

from services.trainer.adapters.parquet import column_names, read_rows, write_rows
from services.trainer.domain.corrections import CorrectionRow
from services.trainer.domain.ledger import LedgerRow
from siad.contracts.deletion import DeletionIndex
from siad.contracts.errors import ConflictError, CorruptError, MissingError
from siad.contracts.ids import sha256_hex
from siad.contracts.keys import ledger_prefix, merged_ledger_key
from siad.contracts.place import Place
from siad.erasure.deletions import Deletions
from siad.erasure.rows import first_written_at, stamp_written_at
from siad.runtime.blobs.port import IF_ABSENT, BlobInfo, Blobs

log = structlog.get_logger()

CONTENT_TYPE = "application/vnd.apache.parquet"
DIGITS = 32  # of the digest in the name of a file
Row = LedgerRow | CorrectionRow


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """One file to merge, as it was read."""

    key: str
    etag: str
    written_at: datetime
    kind: type[Row]
    rows: Sequence[Row]


def kind_of(columns: Collection[str]) -> type[Row]:
    """Tell from its columns what rows a file has."""
    return CorrectionRow if "verdict" in columns else LedgerRow


def has_known_columns(columns: Collection[str]) -> bool:
    """Whether this version knows all columns.

    Those of a later version would be lost in a merge.
    """
    return set(columns) <= {field.name for field in fields(kind_of(columns))}


def merge_files(blobs: Blobs, place: Place, names: Sequence[str]) -> bool:
    """Merge files of one kind.

    Those that can't be read stay as they are.

    Args:
        blobs: the store.
        place: of the ledger.
        names: keys of the files.

    Returns:
        Whether any of them is gone.

    Raises:
        TransientError: the store is unavailable; what was done holds.
    """
    infos = {info.key: info for info in blobs.list(ledger_prefix(*place))}
    parts = [part for name in names if (part := _read(blobs, infos, name)) is not None]
    parts = [part for part in parts if part.kind is parts[0].kind]
    if not parts:
        return False
    deletions = Deletions(blobs)
    known = deletions.read(place.line)
    rows = list(dict.fromkeys(row for part in parts for row in part.rows if not _is_erased(row, known)))
    merged = _store(blobs, place, parts, rows) if rows else ""
    if merged is None:
        return False
    if merged and any(_is_erased(row, deletions.read(place.line)) for row in rows):
        log.warning("ledger_merge_withdrawn", line=place.line, product=place.product, files=len(parts))
        if merged not in {part.key for part in parts}:
            blobs.delete(merged)
        return False
    for part in parts:
        if part.key != merged:
            _delete(blobs, part)
    log.info("ledger_merged", line=place.line, product=place.product, files=len(parts), rows=len(rows))
    return True


def _read(blobs: Blobs, infos: Mapping[str, BlobInfo], name: str) -> _Part | None:
    """Read one file; None where it can't be used as it is."""
    try:
        info, blob = infos[name], blobs.get(name)
        columns = column_names(blob.data)
        kind = kind_of(columns)
        if info.etag != blob.etag or not has_known_columns(columns):
            return None
        return _Part(
            key=name,
            etag=blob.etag,
            written_at=first_written_at(blob.data) or info.modified_at,
            kind=kind,
            rows=read_rows(kind, blob.data),
        )
    except (KeyError, MissingError):
        return None
    except CorruptError as error:
        log.error("ledger_file_not_merged", key=name, reason=str(error))
        return None


def _store(blobs: Blobs, place: Place, parts: Sequence[_Part], rows: Sequence[Row]) -> str | None:
    """Write the merged file; return its key, None where unusable."""
    data = stamp_written_at(write_rows(parts[0].kind, rows), max(part.written_at for part in parts))
    key = merged_ledger_key(place, sha256_hex(data)[:DIGITS])
    try:
        blobs.put(key, data, content_type=CONTENT_TYPE, condition=IF_ABSENT)
    except ConflictError:  # of an earlier attempt; an erasure may have rewritten it since
        try:
            return key if blobs.get(key).data == data else None
        except MissingError:
            return None
    return key


def _is_erased(row: Row, deletions: DeletionIndex) -> bool:
    return deletions.covers(row.capture_id, row.received_at)


def _delete(blobs: Blobs, part: _Part) -> None:
    """Delete a part, unless it was written again since it was read."""
    info = blobs.head(part.key)
    if info is not None and info.etag == part.etag:
        blobs.delete(part.key)
