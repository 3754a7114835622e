"""Identifiers of captures, images and weights; equal content has equal identifiers.

A repeated upload gets the identifier of the first one, which makes the repeat harmless.
"""

import hashlib
import re
from datetime import UTC, datetime
from typing import NewType

CaptureId = NewType("CaptureId", str)  # hex, 32 characters: one exposure of one part on one line
ImageId = NewType("ImageId", str)  # hex, 64 characters: SHA-256 of the bytes
WeightsId = NewType("WeightsId", str)  # hex, 64 characters: SHA-256 of the manifest

SLUG = re.compile(r"[a-z0-9-]{1,63}")
SLUG_RULE = "1 to 63 of a-z, 0-9 and '-'"
_HEX = re.compile(r"[0-9a-f]+")


def sha256_hex(data: bytes) -> str:
    """Return the SHA-256 of ``data``; hex, 64 characters."""
    return hashlib.sha256(data).hexdigest()


def image_id_of(data: bytes) -> ImageId:
    """Return the identifier of an image: the digest of its bytes."""
    return ImageId(sha256_hex(data))


def capture_id_of(
    line: str,
    *,
    image_id: ImageId,
    idempotency_key: str | None = None,
    serial: str | None = None,
    captured_at: datetime | None = None,
) -> CaptureId:
    """Return the identifier of one exposure.

    It is derived from the sender's idempotency key, else from serial number and camera time, else from the bytes with
    the one of the two that was given: equal bytes at another time, or of another part, are another exposure. A prefix
    keeps the four apart, so that a serial number can't equal a key.

    Raises:
        ValueError: ``captured_at`` has no zone.
    """
    if idempotency_key:
        key = f"key\n{idempotency_key}"
    elif serial and captured_at is not None:
        key = f"serial\n{serial}\n{_utc(captured_at)}"
    elif captured_at is not None:
        key = f"time\n{_utc(captured_at)}\n{image_id}"
    elif serial:
        key = f"part\n{serial}\n{image_id}"
    else:
        key = f"image\n{image_id}"
    return CaptureId(sha256_hex(f"{line}\n{key}".encode())[:32])


def shard_of(capture_id: CaptureId, shards: int) -> int:
    """Return the shard of a capture: 0 <= shard < ``shards``."""
    return int(capture_id[:8], 16) % shards


def record_key(line: str, capture_id: CaptureId, shards: int) -> str:
    """Return the key of a work record, line/shard, within which order holds."""
    return f"{line}/{shard_of(capture_id, shards)}"


def require_slug(name: str, value: str) -> None:
    """Raise ValueError unless ``value`` can name a line or product."""
    if not SLUG.fullmatch(value):
        msg = f"{name} {value!r} is not a valid name: use {SLUG_RULE}"
        raise ValueError(msg)


def require_hex(name: str, value: str, length: int) -> None:
    """Raise ValueError unless ``value`` is ``length`` lower-case hex digits."""
    if len(value) != length or not _HEX.fullmatch(value):
        msg = f"{name} {value!r} is not {length} hex digits"
        raise ValueError(msg)


def _utc(moment: datetime) -> str:
    if moment.tzinfo is None:
        msg = f"captured_at {moment.isoformat()} has no zone"
        raise ValueError(msg)
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
