"""Checks of fields that several events share."""

import math

from siad.contracts.ids import require_hex, require_slug


def require_capture(capture_id: str, image_id: str, image_uri: str) -> None:
    """Raise ValueError for a capture or image that is not identified."""
    require_hex("capture_id", capture_id, 32)
    require_hex("image_id", image_id, 64)
    require_uri("image_uri", image_uri)


def require_place(line: str, product: str) -> None:
    """Raise ValueError for an invalid line or product."""
    require_slug("line", line)
    require_slug("product", product)


def require_release(line: str, product: str, revision: int, weights: str) -> None:
    """Raise ValueError for a release without place, revision or weights."""
    require_place(line, product)
    require_revision("revision", revision)
    require_hex("weights", weights, 64)


def require_revision(name: str, value: int) -> None:
    """Raise ValueError for a revision below 1."""
    if value < 1:
        msg = f"{name} {value} is less than 1"
        raise ValueError(msg)


def require_uri(name: str, value: str) -> None:
    """Raise ValueError for an address outside of S3."""
    if not value.startswith("s3://"):
        msg = f"{name} {value!r} is not an s3:// address"
        raise ValueError(msg)


def require_finite(name: str, value: float) -> None:
    """Raise ValueError for an infinite or undefined number."""
    if not math.isfinite(value):
        msg = f"{name} {value} is not a finite number"
        raise ValueError(msg)
