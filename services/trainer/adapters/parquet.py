"""Rows of a dataclass as Parquet, for ledger files and training sets."""

import dataclasses
import io
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar, get_type_hints

import pyarrow as pa
import pyarrow.parquet as pq

from siad.contracts.errors import CorruptError

R = TypeVar("R")

_TYPES = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    datetime: pa.timestamp("us", tz="UTC"),
}


def write_rows(kind: type[R], rows: Sequence[R]) -> bytes:
    """Write rows; equal rows give equal bytes with one pyarrow version."""
    schema = _schema(kind)
    columns = [pa.array([_plain(getattr(row, field.name)) for row in rows], type=field.type) for field in schema]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(columns, schema=schema), sink, compression="zstd", version="2.6")
    return sink.getvalue()


def read_rows(kind: type[R], data: bytes) -> list[R]:
    """Read rows; unknown columns are ignored, missing ones have their defaults.

    Raises:
        CorruptError: the bytes are not Parquet with these columns.
    """
    schema = _schema(kind)
    hints = get_type_hints(kind)
    columns: Any = kind  # a dataclass, which TypeVar can't say
    optional = {field.name for field in dataclasses.fields(columns) if field.default is not dataclasses.MISSING}
    try:
        file = pq.ParquetFile(io.BytesIO(data))
        known = [field for field in schema if field.name in file.schema_arrow.names or field.name not in optional]
        names = [field.name for field in known]
        table = file.read(columns=names).cast(pa.schema(known))
        return [kind(**{name: _typed(hints[name], row[name]) for name in names}) for row in table.to_pylist()]
    except (pa.ArrowException, KeyError, ValueError) as error:
        msg = f"{len(data)} bytes are not Parquet of {kind.__name__}: {error}"
        raise CorruptError(msg) from error


def column_names(data: bytes) -> frozenset[str]:
    """Read which columns a file has.

    Raises:
        CorruptError: the bytes are not Parquet.
    """
    try:
        return frozenset(pq.read_schema(io.BytesIO(data)).names)
    except (pa.ArrowException, ValueError) as error:
        msg = f"{len(data)} bytes are not Parquet: {error}"
        raise CorruptError(msg) from error


def _schema(kind: type[Any]) -> pa.Schema:
    hints = get_type_hints(kind)
    fields = [(field.name, _arrow(hints[field.name])) for field in dataclasses.fields(kind)]
    return pa.schema([pa.field(name, type_, nullable=False) for name, type_ in fields])


def _arrow(hint: type[Any]) -> pa.DataType:
    return pa.string() if issubclass(hint, StrEnum) else _TYPES[hint]


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    return value.value if isinstance(value, StrEnum) else value


def _typed(hint: type[Any], value: Any) -> Any:
    if hint is datetime:
        return value.astimezone(UTC)
    return hint(value) if issubclass(hint, StrEnum) else value
