"""Which store the settings mean, and whether it is one to rely on."""

import uuid

from siad.contracts.errors import ConflictError
from siad.contracts.keys import CONDITIONAL_PUT_KEY
from siad.runtime.blobs.port import Blobs
from siad.runtime.blobs.s3 import S3Blobs
from siad.runtime.blobs.settings import StoreSettings


def open_blobs(settings: StoreSettings) -> Blobs:
    """Make the adapter, and the bucket where it is missing and may be made.

    Raises:
        MissingError: there is no such bucket.
        TransientError: the store is away.
        DeniedError: the store denies access.
        RuntimeError: the store does not hold to the conditions of a put.
    """
    blobs = S3Blobs(settings)
    check_store(blobs)
    return blobs


def check_store(blobs: S3Blobs) -> None:
    """Create the bucket where it is missing and may be created, and require conditional puts; see ``open_blobs``."""
    blobs.ensure_bucket()
    require_conditional_puts(blobs)


def require_conditional_puts(blobs: Blobs) -> None:
    """Refuse a store that takes a conditional put and ignores its condition: releases would overwrite each other.

    One request on a bucket that was looked at before, two on a new one.

    Raises:
        RuntimeError: a put that must find nothing found something, and went through.
    """
    try:
        for _ in range(2):  # the first may be the first ever; the second can't be
            blobs.put(CONDITIONAL_PUT_KEY, uuid.uuid4().bytes, if_absent=True)
    except ConflictError:
        return
    msg = (
        f"the store wrote {blobs.uri(CONDITIONAL_PUT_KEY)} twice though it was told to write only where there is "
        "nothing; nothing was started, for racing releases would overwrite each other. Use a store with conditional "
        "puts (If-None-Match, If-Match), as AWS and SeaweedFS have them"
    )
    raise RuntimeError(msg)
