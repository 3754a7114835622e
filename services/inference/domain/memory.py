"""Memory for weights, from the settings and the container's limit. Pure."""

from typing import Final

from siad.models.slots import Room

MODELS_MAX: Final = 16  # where neither settings nor container bound the memory
SHARE_OF_CONTAINER: Final = 0.5  # the rest is for the process, images in flight, and one more model while it loads


def room_for_weights(*, models_max: int | None, weights_mb: int | None, container_bytes: int | None) -> Room:
    """Choose the bounds of weights in memory.

    Args:
        models_max: setting; None: not set.
        weights_mb: setting, MiB; None: not set.
        container_bytes: memory limit of the container; None: it has none.
    """
    if weights_mb is not None:
        return Room(models_max=models_max, bytes_max=weights_mb * 2**20)
    if models_max is not None:
        return Room(models_max=models_max)
    if container_bytes is not None:
        return Room(bytes_max=int(SHARE_OF_CONTAINER * container_bytes))
    return Room(models_max=MODELS_MAX)
