"""Brakes of learning in the store, of labeler and trainer."""

from siad.contracts.errors import MissingError
from siad.contracts.keys import brake_key
from siad.contracts.learning import LearningBrake
from siad.contracts.place import Place
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.port import PutCondition


class StoredBrakes:
    """Reads and moves brakes by conditional put."""

    def __init__(self, blobs: AsyncBlobs) -> None:
        self._blobs = blobs
        self._etags: dict[Place, str | None] = {}  # as last read

    async def read(self, place: Place) -> LearningBrake | None:
        """Read the brake of a place; None: it was never on.

        Raises:
            CorruptError: it can't be read.
        """
        try:
            blob = await self._blobs.get(brake_key(*place))
        except MissingError:
            self._etags[place] = None
            return None
        self._etags[place] = blob.etag
        return LearningBrake.from_json(blob.data)

    async def put(self, place: Place, brake: LearningBrake) -> None:
        """Store a brake.

        Raises:
            ConflictError: another process moved it since it was read.
        """
        await self._blobs.put(
            brake_key(*place),
            brake.to_json(),
            content_type="application/json",
            condition=PutCondition(self._etags.get(place)),
        )
