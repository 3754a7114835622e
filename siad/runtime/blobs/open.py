"""Which store the settings mean."""

from siad.runtime.blobs.port import Blobs
from siad.runtime.blobs.s3 import S3Blobs
from siad.runtime.blobs.settings import StoreSettings


def open_blobs(settings: StoreSettings) -> Blobs:
    """Make the adapter, and the bucket where it is missing and may be made.

    Raises:
        MissingError: there is no such bucket.
        TransientError: the store is away.
        PermissionError: the keys are refused.
    """
    blobs = S3Blobs(settings)
    blobs.ensure_bucket()
    return blobs
