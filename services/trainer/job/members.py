"""The members of a training set, fetched from the store: a few at a time, verified, decoded."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import structlog

from services.trainer.domain.training_set import TrainingMember
from services.trainer.job.candidate import Seen
from siad.contracts.errors import CorruptError, MissingError
from siad.runtime.blobs.port import Blobs, get_verified
from siad.vision.images import ImageError, decode_image
from siad.vision.masks import decode_mask

log = structlog.get_logger()

AT_ONCE = 16  # decoded images in memory; fetching waits for the network, so more than there are cores


class StoredMembers:
    """Looks members up, in order; one whose image or mask is gone or damaged is left out and logged."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def look(self, members: Sequence[TrainingMember]) -> Iterator[tuple[TrainingMember, Seen]]:
        """Give each member with its image and mask."""
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="fetch") as pool:
            for start in range(0, len(members), AT_ONCE):
                part = members[start : start + AT_ONCE]
                for member, seen in zip(part, pool.map(self._fetch, part), strict=True):
                    if seen is not None:
                        yield member, seen

    def _fetch(self, member: TrainingMember) -> Seen | None:
        try:
            image_HWC = decode_image(self._read(member.image_uri, member.image_id))
            if not member.mask_uri:
                return image_HWC, None
            return image_HWC, decode_mask(self._read(member.mask_uri, member.mask_sha256), may_ignore=True)
        except (MissingError, CorruptError, ImageError) as error:
            log.error("member_left_out", capture_id=member.capture_id, reason=str(error))
            return None

    def _read(self, uri: str, sha256: str) -> bytes:
        return get_verified(self._blobs, self._blobs.key_of(uri), sha256=sha256)
