"""Weights of a line in the store."""

from siad.audit.weights_report import PlaceWeights, read_weights
from siad.runtime.blobs.aio import AsyncBlobs


class StoredWeightsReports:
    """The port ``WeightsReports``."""

    def __init__(self, blobs: AsyncBlobs) -> None:
        self._blobs = blobs

    async def read(self, line: str) -> list[PlaceWeights]:
        """Read the weights, by product."""
        return await read_weights(self._blobs, line)
