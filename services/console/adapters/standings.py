"""What the store says of lines, at most a moment old."""

from typing import Final

from services.console.domain.overview import LineStanding
from siad.contracts import keys
from siad.contracts.events import LineChanged, SegmenterStatus, WeightsKind
from siad.contracts.learning import LearningMode, why_not_learning
from siad.contracts.place import Place
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.clock import Clock
from siad.runtime.store.brakes import StoredBrakes, StoredHolds
from siad.runtime.store.registry import Registry

FRESH_S: Final = 1.5  # pages read every two seconds, and several people look at once


class StoredStandings:
    """The port ``Standings``."""

    def __init__(self, blobs: AsyncBlobs, clock: Clock) -> None:
        self._blobs, self._clock, self._registry = blobs, clock, Registry(blobs.blobs)
        self._known: dict[tuple[str, int], tuple[float, LineStanding]] = {}  # by line and revision

    async def read(self, settings: LineChanged) -> LineStanding:
        """Read the standing of a line, at most a moment old.

        Raises:
            CorruptError: a pointer, a manifest, a hold or a brake can't be read.
            TransientError: the store is unavailable.
        """
        name, now_s = (settings.line, settings.revision), self._clock.monotonic()
        known = self._known.get(name)
        if known is None or now_s - known[0] > FRESH_S:
            known = (now_s, await self._read(settings))
            self._known[name] = known
        return known[1]

    async def _read(self, settings: LineChanged) -> LineStanding:
        place = Place(settings.line, settings.product)
        hold, brake = await StoredHolds(self._blobs).read(place), await StoredBrakes(self._blobs).read(place)
        paused = why_not_learning(LearningMode.of(settings.learning), brake, line=place.line, hold=hold)
        is_held = hold is not None and hold.is_on
        for kind in (WeightsKind.SEGMENTER, WeightsKind.TEACHER):
            pointer = await self._blobs.run(self._registry.pointer, kind, place)
            if pointer is not None and pointer.status is SegmenterStatus.SERVING:
                manifest = await self._blobs.run(self._registry.manifest, place, pointer.weights)
                return LineStanding(
                    normals=None,
                    judges=pointer.weights,
                    judges_kind=kind,
                    since_at=pointer.released_at,
                    promised=manifest.false_rejects,
                    paused=paused,
                    is_held=is_held,
                )
        normals = len(await self._blobs.list_all(keys.normals_prefix(*place)))
        return LineStanding(
            normals=normals, judges="", judges_kind=None, since_at=None, promised=None, paused=paused, is_held=is_held
        )
