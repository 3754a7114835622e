"""Threshold that was set for weights, from the store."""

import structlog

from siad.contracts.corrections import ThresholdSet
from siad.contracts.errors import CorruptError, MissingError
from siad.contracts.keys import threshold_key
from siad.contracts.place import Place
from siad.runtime.blobs.port import Blobs

log = structlog.get_logger()


def stored_threshold(blobs: Blobs, place: Place, weights: str) -> float | None:
    """Read the image threshold that some weights serve with.

    None as for ``stored_threshold_set``.

    Raises:
        TransientError: the store is unavailable or denies access.
    """
    found = stored_threshold_set(blobs, place, weights)
    return None if found is None else found.image_threshold


def stored_threshold_set(blobs: Blobs, place: Place, weights: str) -> ThresholdSet | None:
    """Read the threshold that was set for some weights.

    None where it is that of the manifest, or where the record is damaged.

    Raises:
        TransientError: the store is unavailable or denies access.
    """
    key = threshold_key(*place, weights)
    try:
        return ThresholdSet.from_json(blobs.get(key).data)
    except MissingError:
        return None
    except CorruptError as error:
        log.error("threshold_unread", key=key, reason=str(error))
        return None
