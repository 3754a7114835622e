"""Removes rows from the ledger's Parquet files.

Of a row it knows only the capture that it names.
"""

import io
from collections.abc import Collection
from datetime import datetime
from typing import TYPE_CHECKING, Final

from siad.contracts.errors import CorruptError

if TYPE_CHECKING:
    import pyarrow as pa

WRITTEN_AT: Final = b"siad.written_at"  # when the file was first written: rows that are older than it are not news


def count_rows(data: bytes, captures: Collection[str]) -> int:
    """How many rows name one of the captures.

    Raises:
        CorruptError: the bytes are no Parquet of captures.
    """
    import pyarrow.compute as pc

    return int(pc.sum(_names(_read(data), captures)).as_py() or 0)


def without_rows(data: bytes, captures: Collection[str], *, written_at: datetime) -> bytes | None:
    """The file without rows of the captures; None if none remain.

    Args:
        data: the file.
        captures: whose rows go.
        written_at: when the file was written; kept in it, for the store will only know of today.

    Raises:
        CorruptError: the bytes are no Parquet of captures.
    """
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = _read(data)
    left = table.filter(pc.invert(_names(table, captures)))
    if not left.num_rows:
        return None
    kept = {WRITTEN_AT: written_at.isoformat().encode(), **(table.schema.metadata or {})}
    sink = io.BytesIO()
    pq.write_table(left.replace_schema_metadata(kept), sink, compression="zstd", version="2.6")
    return sink.getvalue()


def written_first(data: bytes) -> datetime | None:
    """First write time of a Parquet file with rows removed since."""
    import pyarrow.parquet as pq

    said = (pq.read_schema(io.BytesIO(data)).metadata or {}).get(WRITTEN_AT)
    return None if said is None else datetime.fromisoformat(said.decode())


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


def _names(table: "pa.Table", captures: Collection[str]) -> "pa.ChunkedArray":
    """Row by row, whether it names one of the captures."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.is_in(table.column("capture_id"), value_set=pa.array(sorted(captures), pa.string()))
