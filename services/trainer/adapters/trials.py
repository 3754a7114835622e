"""Trials in the store, announced on the bus."""

from siad.contracts.codec import encode
from siad.contracts.place import Place
from siad.contracts.topics import TRIAL
from siad.contracts.trial_keys import every_trial_prefix, place_of_trial, trial_of
from siad.contracts.trials import TrialState
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.bus.port import Message, Producer
from siad.runtime.store.trials import StoredTrials


class AnnouncedTrials(StoredTrials):
    """The port ``TrialStore``."""

    def __init__(self, blobs: AsyncBlobs, producer: Producer) -> None:
        super().__init__(blobs)
        self._blobs, self._producer = blobs, producer
        self._announced: dict[Place, int] = {}

    async def places(self) -> list[Place]:
        """List places whose newest trial is open, or not announced yet."""
        newest: dict[Place, int] = {}
        ended: set[tuple[Place, int]] = set()
        for info in await self._blobs.list_all(every_trial_prefix()):
            place, number = place_of_trial(info.key), trial_of(info.key)
            newest[place] = max(newest.get(place, 0), number)
            if info.key.endswith("/end.json"):
                ended.add((place, number))
        return sorted(
            place
            for place, number in newest.items()
            if (place, number) not in ended or self.announced(place) < 3 * number
        )

    def announced(self, place: Place) -> int:
        """Return the revision that this process last announced; 0 for none."""
        return self._announced.get(place, 0)

    async def announce(self, trial: TrialState) -> None:
        """Publish a trial; return once the broker has acknowledged it."""
        event = trial.event()
        await self._producer.publish([Message(topic=TRIAL.name, key=str(trial.spec.place), value=encode(event))])
        self._announced[trial.spec.place] = event.revision
