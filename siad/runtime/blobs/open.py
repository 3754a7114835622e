"""Opening of the blob store that the settings name."""

import uuid

from siad.contracts.errors import ConflictError
from siad.contracts.keys import CONDITIONAL_PUT_KEY
from siad.runtime.blobs.port import IF_ABSENT, Blobs
from siad.runtime.blobs.s3 import S3Blobs
from siad.runtime.blobs.settings import StoreSettings


def open_blobs(settings: StoreSettings) -> Blobs:
    """Open the store and check that it can be relied on.

    Raises:
        MissingError: there is no such bucket, and it may not be created.
        TransientError: the store is unavailable, or denies access (``DeniedError``).
        RuntimeError: the store ignores the condition of a put.
    """
    blobs = S3Blobs(settings)
    check_store(blobs)
    return blobs


def check_store(blobs: S3Blobs) -> None:
    """Create the bucket if it may be created, and require conditional puts.

    Raises:
        MissingError, TransientError, RuntimeError: as ``open_blobs`` has them.
    """
    blobs.ensure_bucket()
    require_conditional_puts(blobs)


def require_conditional_puts(blobs: Blobs) -> None:
    """Refuse a store that ignores the condition of a put.

    On such a store racing releases would overwrite each other. Takes one request on a bucket that was checked before,
    and two on a new one.

    Raises:
        RuntimeError: a put under the condition that there is no object replaced one.
    """
    try:
        for _ in range(2):  # only the first may be the first ever
            blobs.put(CONDITIONAL_PUT_KEY, uuid.uuid4().bytes, condition=IF_ABSENT)
    except ConflictError:
        return
    msg = (
        f"the store wrote {blobs.uri(CONDITIONAL_PUT_KEY)} twice under the condition that there is no such object; "
        "nothing was started, since racing releases would overwrite each other. Use a store with conditional puts "
        "(If-None-Match, If-Match), such as AWS S3 or SeaweedFS"
    )
    raise RuntimeError(msg)
