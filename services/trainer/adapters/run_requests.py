"""Requests for training runs in the store."""

from datetime import datetime

from siad.contracts.documents import RunRequest, read_line
from siad.contracts.errors import MissingError
from siad.contracts.events import WeightsKind
from siad.contracts.keys import line_pointer_key
from siad.contracts.learning import LearningMode, why_not_learning
from siad.contracts.place import Place
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.store.brakes import StoredBrakes, StoredHolds
from siad.runtime.store.registry import Registry
from siad.runtime.store.runs import StoredRuns


class StoredRunRequests:
    """The port ``RunRequests``."""

    def __init__(self, blobs: AsyncBlobs) -> None:
        self._blobs, self._runs, self._registry = blobs, StoredRuns(blobs), Registry(blobs.blobs)
        self._brakes, self._holds = StoredBrakes(blobs), StoredHolds(blobs)

    async def request(self, place: Place, *, at: datetime, command_id: str = "") -> RunRequest:
        """Request a run that does not wait for new captures."""
        last = await self._runs.last_request(place)
        if command_id and last is not None and last.command_id == command_id:
            return last
        if reason := await self._why_none_starts(place):
            msg = f"no run of {place} would start; nothing was requested: {reason}"
            raise LookupError(msg)
        runs = await self._runs.read(place)
        if runs and runs[-1].is_open:
            run = runs[-1].spec.run
            msg = f"run {run} is open; nothing was requested. Wait for it, or cancel it: siad runs cancel {place.line}"
            raise LookupError(msg)
        return await self._runs.put_request(place, at, command_id=command_id)

    async def _why_none_starts(self, place: Place) -> str:
        try:
            state = read_line((await self._blobs.get(line_pointer_key(place.line))).data)
        except MissingError:
            return "the line is unknown"
        if state.is_gone:
            return "the line was ended"
        if await self._blobs.run(self._registry.pointer, WeightsKind.TEACHER, place) is None:
            return "it has no teacher yet. Send normals; siad status says how many are missing"
        mode = LearningMode.of(state.settings.learning)
        brake, hold = await self._brakes.read(place), await self._holds.read(place)
        return why_not_learning(mode, brake, line=place.line, hold=hold)
