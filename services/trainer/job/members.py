"""Reader of a training set's members: verified, decoded, in small batches."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import structlog

from services.trainer.domain.training_set import TrainingMember
from services.trainer.job.examples import MemberPixels
from siad.contracts.errors import CorruptError, MissingError
from siad.runtime.blobs.port import Blobs, get_verified
from siad.vision.images import ImageError, decode_image
from siad.vision.masks import decode_mask

log = structlog.get_logger()

THREADS: Final = 16  # decoded images in memory; more than cores, because reading waits for the network


class StoredMembers:
    """Reads members in order; logs and omits missing or damaged ones."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def read(self, members: Sequence[TrainingMember]) -> Iterator[tuple[TrainingMember, MemberPixels]]:
        """Yield each member with its image and mask.

        Raises:
            TransientError: the store is unavailable or denies access, or memory ran out.
        """
        with ThreadPoolExecutor(THREADS, thread_name_prefix="fetch") as pool:
            for start in range(0, len(members), THREADS):
                part = members[start : start + THREADS]
                for member, pixels in zip(part, pool.map(self._fetch, part), strict=True):
                    if pixels is not None:
                        yield member, pixels

    def _fetch(self, member: TrainingMember) -> MemberPixels | None:
        try:
            image_HWC = decode_image(self._read(member.image_uri, member.image_id))
            if not member.mask_uri:
                return image_HWC, None
            return image_HWC, decode_mask(self._read(member.mask_uri, member.mask_sha256), may_ignore=True)
        except (MissingError, CorruptError, ImageError) as error:
            log.error("member_left_out", capture_id=member.capture_id, reason=str(error))
            return None

    def _read(self, uri: str, sha256: str) -> bytes:
        try:
            key = self._blobs.key_of(uri)
        except ValueError as error:  # in another bucket
            raise MissingError(str(error)) from error
        return get_verified(self._blobs, key, sha256=sha256)
