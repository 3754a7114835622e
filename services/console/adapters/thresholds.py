"""Thresholds in store and on bus, and the manifests behind them."""

from collections.abc import Collection
from functools import partial

from services.console.ports import StoredThreshold
from siad.contracts import keys
from siad.contracts.codec import encode
from siad.contracts.corrections import ThresholdSet
from siad.contracts.errors import CorruptError, MissingError
from siad.contracts.ids import WeightsId
from siad.contracts.manifest import Manifest
from siad.contracts.place import Place
from siad.contracts.topics import THRESHOLD
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.port import IF_ABSENT, PutCondition
from siad.runtime.bus.port import Message, Producer
from siad.runtime.state_table import StateTable
from siad.runtime.store.registry import Registry


class StoredThresholds:
    """The port ``ThresholdStore``."""

    def __init__(self, blobs: AsyncBlobs, producer: Producer) -> None:
        self._blobs, self._producer, self._registry = blobs, producer, Registry(blobs.blobs)
        self._write = partial(blobs.put, content_type="application/json")
        self._manifests: dict[WeightsId, Manifest] = {}  # they never change

    async def read(self, place: Place, weights: WeightsId) -> StoredThreshold | None:
        """Read the threshold of some weights; None for that of the manifest."""
        key = keys.threshold_key(*place, weights)
        try:
            blob = await self._blobs.get(key)
        except MissingError:
            return None
        try:
            return StoredThreshold(ThresholdSet.from_json(blob.data), blob.etag)
        except CorruptError as error:
            msg = f"threshold {self._blobs.uri(key)} can't be read: {error}. Restore the object, or delete it"
            raise CorruptError(msg) from error

    async def put(self, threshold: ThresholdSet, expected: StoredThreshold | None) -> None:
        """Move a threshold, unless another process moved it since."""
        condition = IF_ABSENT if expected is None else PutCondition(expected.etag)
        place = Place(threshold.line, threshold.product)
        await self._write(keys.threshold_key(*place, threshold.weights), threshold.to_json(), condition=condition)

    async def announce(self, threshold: ThresholdSet) -> None:
        """Publish a threshold, and return once the broker has acknowledged it."""
        await self._publish(Place(threshold.line, threshold.product), threshold.weights, encode(threshold))

    async def withdraw(self, place: Place, weights: WeightsId) -> None:
        """Publish a tombstone."""
        await self._publish(place, weights, None)

    async def _publish(self, place: Place, weights: WeightsId, value: bytes | None) -> None:
        await self._producer.publish([Message(topic=THRESHOLD.name, key=f"{place}/{weights}", value=value)])

    async def manifest(self, place: Place, weights: WeightsId) -> Manifest:
        """Read the manifest of some weights."""
        if weights not in self._manifests:
            self._manifests[weights] = await self._blobs.run(self._registry.manifest, place, weights)
        return self._manifests[weights]


class ThresholdsOnTopic:
    """The port ``AnnouncedThresholds``."""

    def __init__(self, table: StateTable[ThresholdSet]) -> None:
        self._table = table

    def all(self) -> Collection[ThresholdSet]:
        """Return the threshold of all weights that have one."""
        return self._table.values().values()
