"""Erase rows of the ledger's Parquet files, which name a capture each."""

import io
from collections.abc import Collection
from datetime import datetime
from typing import TYPE_CHECKING, Final

from siad.contracts.errors import CorruptError

if TYPE_CHECKING:
    import pyarrow as pa

WRITTEN_AT: Final = b"siad.written_at"  # first write time of a rewritten file; the store knows only the last one


def count_rows(data: bytes, captures: Collection[str]) -> int:
    """Count the rows that name one of the captures.

    Raises:
        CorruptError: the bytes are no Parquet of captures.
    """
    import pyarrow.compute as pc

    return int(pc.sum(_is_named(_read(data), captures)).as_py() or 0)


def erase_rows(data: bytes, captures: Collection[str], *, written_at: datetime) -> bytes | None:
    """Return the file without rows of the captures; None where none remain.

    Args:
        data: the file.
        captures: of the rows to erase.
        written_at: of the file before; kept in the new one, unless an earlier rewrite kept it.

    Raises:
        CorruptError: the bytes are no Parquet of captures.
    """
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = _read(data)
    remaining = table.filter(pc.invert(_is_named(table, captures)))
    if not remaining.num_rows:
        return None
    metadata = {WRITTEN_AT: written_at.isoformat().encode(), **(table.schema.metadata or {})}
    sink = io.BytesIO()
    pq.write_table(remaining.replace_schema_metadata(metadata), sink, compression="zstd", version="2.6")
    return sink.getvalue()


def stamp_written_at(data: bytes, written_at: datetime) -> bytes:
    """Return the file with its first write time."""
    import pyarrow.parquet as pq

    table = _read(data)
    metadata = {**(table.schema.metadata or {}), WRITTEN_AT: written_at.isoformat().encode()}
    sink = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(metadata), sink, compression="zstd", version="2.6")
    return sink.getvalue()


def first_written_at(data: bytes) -> datetime | None:
    """First write time of a rewritten Parquet file; None for others."""
    import pyarrow.parquet as pq

    text = (pq.read_schema(io.BytesIO(data)).metadata or {}).get(WRITTEN_AT)
    return None if text is None else datetime.fromisoformat(text.decode())


def _read(data: bytes) -> "pa.Table":
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(io.BytesIO(data))
        table.column("capture_id")
    except (pa.ArrowException, KeyError) as error:
        msg = f"{len(data)} bytes are no Parquet that names captures: {error}"
        raise CorruptError(msg) from error
    return table


def _is_named(table: "pa.Table", captures: Collection[str]) -> "pa.ChunkedArray":
    """For each row, whether it names one of the captures."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.is_in(table.column("capture_id"), value_set=pa.array(sorted(captures), pa.string()))
