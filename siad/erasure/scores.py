"""Erase captures from the newest scores of a stream."""

from collections.abc import Collection, Iterable, Iterator
from typing import Final

import structlog

from siad.contracts import keys
from siad.contracts.errors import ConflictError, CorruptError, MissingError
from siad.contracts.stream_scores import StreamScores
from siad.runtime.blobs.port import Blobs, PutCondition

log = structlog.get_logger()

REWRITES_MAX: Final = 20  # attempts while the labeler writes, every few seconds


def find_scores(
    blobs: Blobs, line: str, products: Iterable[str], captures: Collection[str]
) -> Iterator[tuple[str, int]]:
    """Find documents of scores that name captures, and count their rows."""
    for product in sorted(products):
        key = keys.stream_scores_key(line, product)
        try:
            scores = StreamScores.from_json(blobs.get(key).data)
        except MissingError:
            continue
        except CorruptError as error:
            log.error("stream_scores_left_out", key=key, reason=str(error))
            continue
        if rows := sum(row.capture_id in captures for row in scores.rows):
            yield key, rows


def erase_scores(blobs: Blobs, key: str, captures: Collection[str]) -> None:
    """Drop the rows of captures.

    Raises:
        ConflictError: the labeler kept writing the document; run the command again.
    """
    for _ in range(REWRITES_MAX):
        try:
            blob = blobs.get(key)
        except MissingError:
            return
        remaining = StreamScores.from_json(blob.data).without(captures).to_json()
        try:
            blobs.put(key, remaining, content_type="application/json", condition=PutCondition(blob.etag))
        except ConflictError:
            continue
        return
    msg = f"{blobs.uri(key)} was written by the labeler {REWRITES_MAX} times meanwhile. Run the command again"
    raise ConflictError(msg)
