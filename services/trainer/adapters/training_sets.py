"""Training sets in the store, under the digest of their rows."""

from typing import Final

from services.trainer.adapters.parquet import read_rows, write_rows
from services.trainer.domain.training_set import TrainingMember, TrainingSet
from siad.contracts.documents import TrainingSetMembers
from siad.contracts.key_parts import kind_of
from siad.contracts.keys import (
    members_of,
    training_set_key,
    training_set_members_key,
    training_set_of,
    training_sets_prefix,
    weights_of_mask,
)
from siad.contracts.place import Place
from siad.contracts.quarantine import correction_name
from siad.runtime.blobs.aio import AsyncBlobs

MASKS: Final = "masks"


class StoredTrainingSets:
    """Writes training sets and the lists of their members."""

    def __init__(self, blobs: AsyncBlobs) -> None:
        self._blobs = blobs

    async def put(self, place: Place, training_set: TrainingSet) -> None:
        """Store one set, after its member list; repeats write equal bytes.

        Expiry and erasure read the list, which needs no Parquet, to keep what a set names.
        """
        await self._put_member_list(place, training_set)
        data = await self._blobs.run(write_rows, TrainingMember, training_set.members)
        await self._blobs.put(
            training_set_key(*place, training_set.digest),
            data,
            content_type="application/vnd.apache.parquet",
            tags={"keep": "training-set"},
        )

    async def add_member_lists(self, place: Place) -> None:
        """Write the member lists that sets of earlier versions lack.

        Until every set has its list, no object of the line expires.
        """
        keys = [info.key for info in await self._blobs.list_all(training_sets_prefix(*place))]
        listed = {members_of(key) for key in keys}
        for key in keys:
            training_set = training_set_of(key)
            if training_set is not None and training_set not in listed:
                data = (await self._blobs.get(key)).data
                members = tuple(await self._blobs.run(read_rows, TrainingMember, data))
                await self._put_member_list(place, TrainingSet(members=members))

    async def members(self, place: Place, digest: str) -> TrainingSetMembers:
        """Read the member list of a set.

        Raises:
            MissingError, CorruptError: it cannot be read.
        """
        data = (await self._blobs.get(training_set_members_key(*place, digest))).data
        return TrainingSetMembers.from_json(data)

    async def _put_member_list(self, place: Place, training_set: TrainingSet) -> None:
        captures = sorted(member.capture_id for member in training_set.members)
        images = sorted({member.image_uri for member in training_set.members})
        await self._blobs.put(
            training_set_members_key(*place, training_set.digest),
            TrainingSetMembers(
                captures=tuple(captures),
                images=tuple(images),
                corrections=tuple(sorted(_corrections(training_set))),
                teachers=tuple(sorted(self._teachers(training_set))),
            ).to_json(),
            content_type="application/json",
        )

    def _teachers(self, training_set: TrainingSet) -> set[str]:
        """Read from the addresses of pseudo-masks which weights drew them."""
        keys = (self._key_of(member.mask_uri) for member in training_set.members if member.mask_uri)
        return {weights_of_mask(key) for key in keys if kind_of(key) == MASKS}

    def _key_of(self, uri: str) -> str:
        try:
            return self._blobs.key_of(uri)
        except ValueError:  # in another bucket
            return ""


def _corrections(training_set: TrainingSet) -> set[str]:
    corrected = (member for member in training_set.members if member.is_corrected)
    return {correction_name(member.capture_id, member.revision) for member in corrected}
