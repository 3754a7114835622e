"""Training runs of a line and product, as the store holds them."""

import json
from datetime import datetime

from siad.contracts import keys
from siad.contracts.errors import MissingError
from siad.contracts.place import Place
from siad.runtime.blobs.aio import AsyncBlobs

FAILED = "failed"  # outcome of a run that used no corrections, in the trainer's judgement


class StoredTrainings:
    """The port ``TrainingRuns``."""

    def __init__(self, blobs: AsyncBlobs) -> None:
        self._blobs = blobs

    async def last_frozen_at(self, place: Place) -> datetime | None:
        """Read when the last run was specified, without failed ones."""
        found = {info.key: info.modified_at for info in await self._blobs.list_all(keys.runs_prefix(*place))}
        for run in sorted({keys.run_of(key) for key in found}, reverse=True):
            frozen_at = found.get(keys.run_spec_key(run))
            if frozen_at is not None and not await self._has_failed(run, found):
                return frozen_at
        return None

    async def _has_failed(self, run: str, found: dict[str, datetime]) -> bool:
        key = keys.run_judgement_key(run)
        if key not in found:
            return False
        try:
            blob = await self._blobs.get(key)
            return bool(json.loads(blob.data)["outcome"] == FAILED)
        except (MissingError, ValueError, KeyError):
            return False  # erased meanwhile, or unreadable: the trainer reports it
