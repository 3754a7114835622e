"""Identity: what makes a repeat harmless. Pure."""

import hashlib
import re
from datetime import UTC, datetime
from typing import NewType

CaptureId = NewType("CaptureId", str)  # hex, 32 characters: one exposure of one part on one line
ImageId = NewType("ImageId", str)  # hex, 64 characters: SHA-256 of the bytes
WeightsId = NewType("WeightsId", str)  # hex, 64 characters: SHA-256 of the manifest

SLUG = re.compile(r"[a-z0-9-]{1,63}")
_HEX = re.compile(r"[0-9a-f]+")


def sha256_hex(data: bytes) -> str:
    """SHA-256 of ``data``; hex, 64 characters."""
    return hashlib.sha256(data).hexdigest()


def image_id_of(data: bytes) -> ImageId:
    """Name an image by its bytes."""
    return ImageId(sha256_hex(data))


def capture_id_of(
    line: str,
    *,
    image_id: ImageId,
    idempotency_key: str | None = None,
    serial: str | None = None,
    captured_at: datetime | None = None,
) -> CaptureId:
    """Name one exposure: by the sender's key, else by serial and camera time, else by the bytes.

    The three kinds of key are kept apart by a prefix, so a serial can't pass for somebody's key.

    Raises:
        ValueError: ``captured_at`` has no zone.
    """
    if idempotency_key:
        key = f"key\n{idempotency_key}"
    elif serial and captured_at is not None:
        key = f"serial\n{serial}\n{_utc(captured_at)}"
    else:
        key = f"image\n{image_id}"
    return CaptureId(sha256_hex(f"{line}\n{key}".encode())[:32])


def shard_of(capture_id: CaptureId, shards: int) -> int:
    """Which of the line's shards a capture belongs to: 0 <= shard < ``shards``."""
    return int(capture_id[:8], 16) % shards


def record_key(line: str, capture_id: CaptureId, shards: int) -> str:
    """The key of a work record: line/shard. One line's one shard stays in order."""
    return f"{line}/{shard_of(capture_id, shards)}"


def require_slug(name: str, value: str) -> None:
    """Raise ValueError unless ``value`` may name a line or a product."""
    if not SLUG.fullmatch(value):
        msg = f"{name} {value!r} is not a slug: use 1 to 63 of a-z, 0-9 and '-'"
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
