"""Training sets in the store: under the digest of their rows, the same bytes whoever froze them."""

import json

from services.trainer.adapters.parquet import read_rows, write_rows
from services.trainer.domain.training_set import Member, TrainingSet
from siad.core.errors import CorruptError
from siad.core.keys import training_set_key, training_set_members_key
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.port import Blobs
from siad.runtime.deletions import Deletions


class StoredTrainingSets:
    """Writes frozen sets."""

    def __init__(self, blobs: AsyncBlobs) -> None:
        self._blobs = blobs

    async def put(self, line: str, product: str, chosen: TrainingSet) -> None:
        """Store one set, and before it whom it names; a repeat writes the same bytes under the same names."""
        captures = sorted(member.capture_id for member in chosen.members)
        images = sorted(member.image_uri for member in chosen.members)
        await self._blobs.put(
            training_set_members_key(line, product, chosen.digest),
            json.dumps({"captures": captures, "images": images}).encode(),
            content_type="application/json",
        )
        data = await self._blobs.run(write_rows, Member, chosen.members)
        await self._blobs.put(
            training_set_key(line, product, chosen.digest),
            data,
            content_type="application/vnd.apache.parquet",
            tags={"keep": "training-set"},
        )


def load_training_set(blobs: Blobs, line: str, product: str, digest: str) -> TrainingSet:
    """Read a set and hold it against its name; members that were forgotten since are left out.

    Raises:
        CorruptError: its rows have another digest.
        MissingError: there is none.
    """
    key = training_set_key(line, product, digest)
    chosen = TrainingSet(members=tuple(read_rows(Member, blobs.get(key).data)))
    if chosen.digest != digest:
        msg = f"{blobs.uri(key)} refused: its {len(chosen.members)} rows have digest {chosen.digest}"
        raise CorruptError(msg)
    forgotten = Deletions(blobs).look(line).captures
    return TrainingSet(members=tuple(member for member in chosen.members if member.capture_id not in forgotten))
