"""Brakes and holds of learning in the store, of labeler and trainer."""

from siad.contracts.keys import brake_key, hold_key
from siad.contracts.learning import LearningBrake, LearningHold
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.store.place_records import PlaceRecords


class StoredBrakes(PlaceRecords[LearningBrake]):
    """Brakes, which figures of the stream put on."""

    def __init__(self, blobs: AsyncBlobs) -> None:
        super().__init__(blobs, LearningBrake, brake_key)


class StoredHolds(PlaceRecords[LearningHold]):
    """Holds, which people put on."""

    def __init__(self, blobs: AsyncBlobs) -> None:
        super().__init__(blobs, LearningHold, hold_key)
