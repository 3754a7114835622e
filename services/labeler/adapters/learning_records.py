"""Records that refits go by: corrections of people, and fits of before."""

import structlog

from siad.contracts.corrections import CaptureCorrected, latest_corrections
from siad.contracts.errors import ConflictError, CorruptError, MissingError
from siad.contracts.keys import correction_of, corrections_prefix, refit_key, refits_prefix
from siad.contracts.place import Place
from siad.contracts.refits import RefitRecord
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.port import IF_ABSENT

log = structlog.get_logger()


class StoredCorrections:
    """Reads corrections; they are write-once, so each is read once."""

    def __init__(self, blobs: AsyncBlobs) -> None:
        self._blobs = blobs
        self._known: dict[str, dict[str, CaptureCorrected | None]] = {}  # by line, then by key

    async def latest(self, place: Place) -> dict[str, CaptureCorrected]:
        """Read the latest correction of each capture; log and omit unreadable ones."""
        infos = await self._blobs.list_all(corrections_prefix(place.line))
        names = [info.key for info in infos if correction_of(info.key) is not None]
        known = self._known.get(place.line, {})
        found = {key: known[key] if key in known else await self._read(key) for key in names}
        self._known[place.line] = found  # without those that were deleted
        return latest_corrections(one for one in found.values() if one is not None and one.product == place.product)

    async def _read(self, key: str) -> CaptureCorrected | None:
        try:
            return CaptureCorrected.from_json((await self._blobs.get(key)).data)
        except (CorruptError, MissingError) as error:
            log.error("correction_left_out", key=key, reason=str(error))
            return None


class StoredRefits:
    """Reads and writes the records of fits."""

    def __init__(self, blobs: AsyncBlobs) -> None:
        self._blobs = blobs
        self._last: dict[Place, tuple[str, RefitRecord]] = {}  # by key: records never change

    async def last(self, place: Place) -> RefitRecord | None:
        """Read the latest record; None before the first."""
        names = [info.key for info in await self._blobs.list_all(refits_prefix(*place))]
        if not names:
            return None
        key = max(names)
        known = self._last.get(place)
        if known is None or known[0] != key:
            known = (key, RefitRecord.from_json((await self._blobs.get(key)).data))
            self._last[place] = known
        return known[1]

    async def put(self, record: RefitRecord) -> None:
        """Store a record; one of the same number stays as it is."""
        key = refit_key(record.line, record.product, record.number)
        try:
            await self._blobs.put(key, record.to_json(), content_type="application/json", condition=IF_ABSENT)
        except ConflictError:
            log.warning("refit_recorded_before", key=key, reason="another process fitted at the same time")
