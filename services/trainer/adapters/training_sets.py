"""Training sets in the store: under the digest of their rows, the same bytes whoever froze them."""

from services.trainer.adapters.parquet import read_rows, write_rows
from services.trainer.domain.training_set import TrainingMember, TrainingSet
from siad.contracts.documents import TrainingSetMembers
from siad.contracts.errors import CorruptError
from siad.contracts.keys import training_set_key, training_set_members_key
from siad.erasure.deletions import Deletions
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.port import Blobs


class StoredTrainingSets:
    """Writes frozen sets."""

    def __init__(self, blobs: AsyncBlobs) -> None:
        self._blobs = blobs

    async def put(self, line: str, product: str, chosen: TrainingSet) -> None:
        """Store one set, and before it whom it names; a repeat writes the same bytes under the same names."""
        await self._put_members(line, product, chosen)
        data = await self._blobs.run(write_rows, TrainingMember, chosen.members)
        await self._blobs.put(
            training_set_key(line, product, chosen.digest),
            data,
            content_type="application/vnd.apache.parquet",
            tags={"keep": "training-set"},
        )

    async def list_members(self, line: str, product: str) -> None:
        """Write down whom the sets name that were frozen before anybody did: until then nothing of the line expires."""
        prefix, suffix = training_set_key(line, product, "|").split("|")
        names = {info.key.removeprefix(prefix) for info in await self._blobs.list_all(prefix)}
        for name in sorted(names):
            digest = name.removesuffix(suffix)
            if name.endswith(suffix) and f"{digest}.members.json" not in names:
                data = (await self._blobs.get(f"{prefix}{name}")).data
                members = tuple(await self._blobs.run(read_rows, TrainingMember, data))
                await self._put_members(line, product, TrainingSet(members=members))

    async def _put_members(self, line: str, product: str, chosen: TrainingSet) -> None:
        captures = sorted(member.capture_id for member in chosen.members)
        images = sorted({member.image_uri for member in chosen.members})
        await self._blobs.put(
            training_set_members_key(line, product, chosen.digest),
            TrainingSetMembers(captures=tuple(captures), images=tuple(images)).to_json(),
            content_type="application/json",
        )


def load_training_set(blobs: Blobs, line: str, product: str, digest: str) -> TrainingSet:
    """Read a set and hold it against its name; members that were forgotten since are left out.

    Raises:
        CorruptError: its rows have another digest.
        MissingError: there is none.
    """
    key = training_set_key(line, product, digest)
    chosen = TrainingSet(members=tuple(read_rows(TrainingMember, blobs.get(key).data)))
    if chosen.digest != digest:
        msg = f"{blobs.uri(key)} refused: its {len(chosen.members)} rows have digest {chosen.digest}"
        raise CorruptError(msg)
    forgotten = Deletions(blobs).look(line).captures
    return TrainingSet(members=tuple(member for member in chosen.members if member.capture_id not in forgotten))
