"""Normals, masks, weights and lineage in the store, for exports."""

import json
from collections.abc import AsyncIterator

from siad.audit.lineage import read_lineage
from siad.contracts import keys
from siad.contracts.corrections import CaptureCorrected
from siad.contracts.errors import MissingError
from siad.contracts.json_codec import to_plain
from siad.contracts.manifest import Manifest
from siad.runtime.blobs.aio import AsyncBlobs


class StoredExports:
    """The port ``ExportStore``."""

    def __init__(self, blobs: AsyncBlobs) -> None:
        self._blobs = blobs

    async def normals(self, line: str, product: str | None) -> list[str]:
        """List the captures that were sent as normals."""
        infos = await self._blobs.list_all(keys.normals_prefix(line, product or ""))
        return [keys.name_of(info.key) for info in infos]

    async def mask(self, correction: CaptureCorrected) -> bytes | None:
        """Read the mask of a correction."""
        key = self._blobs.key_of(correction.mask_uri)
        try:
            return await self._blobs.get_verified(key, sha256=correction.mask_sha256)
        except MissingError:
            return None

    async def history(self, line: str, capture_id: str) -> list[tuple[str, bytes]]:
        """Read every record and mask of a capture's corrections, and its pseudo-masks."""
        infos = await self._blobs.list_all(keys.corrections_prefix(line, capture_id))
        infos += await self._blobs.list_all(keys.masks_prefix(line, capture_id))
        return [(f"store/{info.key}", data) for info in infos if (data := await self._read(info.key)) is not None]

    async def weights(self, line: str) -> AsyncIterator[tuple[str, bytes]]:
        """Read the manifests of a line's weights, their parts and the lineage."""
        sent: set[str] = set()
        for info in await self._blobs.list_all(keys.manifests_prefix(line)):
            if (data := await self._read(info.key)) is None:
                continue
            yield f"store/{info.key}", data
            for part in sorted({one.sha256 for one in Manifest.from_json(data).parts}):
                if part not in sent and (found := await self._read(keys.part_key(part))) is not None:
                    sent.add(part)
                    yield f"store/{keys.part_key(part)}", found
        lineage = await self._blobs.run(read_lineage, self._blobs.blobs, line)
        weights = [to_plain(one) for _, one in sorted(lineage.weights.items())]
        yield "lineage.json", json.dumps({"line": line, "weights": weights}, indent=2).encode()

    async def _read(self, key: str) -> bytes | None:
        try:
            return (await self._blobs.get(key)).data
        except MissingError:
            return None
