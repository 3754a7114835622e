"""The blob store as a pyarrow file system, for Ray Train's checkpoints."""

from typing import Any
from urllib.parse import urlsplit

from siad.runtime.blobs.settings import StoreSettings


def pyarrow_filesystem(settings: StoreSettings) -> Any:
    """Open the store as a ``pyarrow.fs.S3FileSystem``; its paths begin with the bucket."""
    from pyarrow import fs

    endpoint = urlsplit(settings.endpoint_url) if settings.endpoint_url else None
    return fs.S3FileSystem(
        access_key=settings.access_key.get_secret_value() if settings.access_key else None,
        secret_key=settings.secret_key.get_secret_value() if settings.secret_key else None,
        region=settings.region,
        scheme=endpoint.scheme if endpoint else "https",
        endpoint_override=endpoint.netloc if endpoint else None,
        connect_timeout=settings.connect_timeout_s,
        request_timeout=settings.read_timeout_s,
    )
