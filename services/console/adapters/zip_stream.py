"""Zip that is sent while it is written.

Memory holds one file at a time and the directory of names; rows for files at the end are in temporary files. Times and
rights of the entries are fixed, so that equal data are equal bytes.
"""

import tempfile
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import IO, Any, Final, Self
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from siad.vision.datasets.samples import EndFile, Rows, SampleFiles

PIECE_BYTES: Final = 2**20
_RIGHTS: Final = 0o644 << 16
_PACKED: Final = (".png", ".jpg", ".jpeg", ".webp")  # compressed by themselves


class _Sink:
    """File object without positions; keeps what was not taken yet."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def write(self, data: bytes, /) -> int:
        """Keep bytes."""
        self._bytes += data
        return len(data)

    def flush(self) -> None:
        """Do nothing: all is in memory."""

    def close(self) -> None:
        """Do nothing: what was written can still be taken."""

    def take(self) -> bytes:
        """Return and forget what was written."""
        data = bytes(self._bytes)
        self._bytes.clear()
        return data


class ZipStream:
    """One zip; ``take`` returns the bytes that are ready."""

    def __init__(self) -> None:
        self._sink = _Sink()
        self._zip = ZipFile(self._sink, "w")
        self._rows: dict[str, IO[bytes]] = {}

    def __enter__(self) -> Self:
        """Remove the temporary files at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the temporary files."""
        for rows in self._rows.values():
            rows.close()

    def take(self) -> bytes:
        """Return the bytes that were written since the last call."""
        return self._sink.take()

    def add(self, path: str, data: bytes) -> None:
        """Write one file."""
        self._zip.writestr(_entry(path), data)

    def add_sample(self, image: bytes, found: SampleFiles, rows: Mapping[str, bytes]) -> None:
        """Write the files of one sample, and keep its rows."""
        self.add(found.image, image)
        for path, data in found.files:
            self.add(path, data)
        for name, row in (*found.rows.items(), *rows.items()):
            self._file_of(name).write(row)

    def write_end(self, file: EndFile) -> Iterator[bytes]:
        """Write a file of pieces and rows; yields ready bytes."""
        with self._zip.open(_entry(file.path), "w", force_zip64=True) as target:
            for piece in file.pieces:
                if not isinstance(piece, Rows):
                    target.write(piece)
                    continue
                rows = self._file_of(piece.name)
                rows.seek(0)
                while part := rows.read(PIECE_BYTES):
                    target.write(part)
                    yield self.take()

    def close(self) -> bytes:
        """Write the directory; return the last bytes."""
        self._zip.close()
        return self.take()

    def _file_of(self, name: str) -> Any:
        if name not in self._rows:
            self._rows[name] = tempfile.SpooledTemporaryFile(max_size=PIECE_BYTES)  # noqa: SIM115 - closed in __exit__
        return self._rows[name]


def _entry(path: str) -> ZipInfo:
    entry = ZipInfo(path)
    entry.external_attr = _RIGHTS
    entry.compress_type = ZIP_STORED if path.lower().endswith(_PACKED) else ZIP_DEFLATED
    return entry
