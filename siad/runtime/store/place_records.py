"""Records of line and product in the store, moved by conditional put."""

from collections.abc import Callable
from typing import Generic, TypeVar

from siad.contracts.errors import MissingError
from siad.contracts.json_codec import JsonRecord
from siad.contracts.place import Place
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.port import PutCondition

T = TypeVar("T", bound=JsonRecord)


class PlaceRecords(Generic[T]):
    """Reads and moves one kind of record, one of each place."""

    def __init__(self, blobs: AsyncBlobs, kind: type[T], key_of: Callable[[str, str], str]) -> None:
        self._blobs, self._kind, self._key_of = blobs, kind, key_of
        self._etags: dict[Place, str | None] = {}  # as last read

    async def read(self, place: Place) -> T | None:
        """Read the record of a place; None: there was none.

        Raises:
            CorruptError: it can't be read.
        """
        try:
            blob = await self._blobs.get(self._key_of(*place))
        except MissingError:
            self._etags[place] = None
            return None
        self._etags[place] = blob.etag
        return self._kind.from_json(blob.data)

    async def put(self, place: Place, record: T) -> None:
        """Store a record.

        Raises:
            ConflictError: another process moved it since it was read.
        """
        await self._blobs.put(
            self._key_of(*place),
            record.to_json(),
            content_type="application/json",
            condition=PutCondition(self._etags.get(place)),
        )
