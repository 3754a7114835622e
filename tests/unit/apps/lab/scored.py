"""Scored sets for tests: maps in, scores and counts out, marked at one threshold."""

from collections.abc import Iterable

from siad.apps.lab.evaluate.scored import MappedImage, ScoredSet

THRESHOLD = 1.0


def scored_set(images: Iterable[MappedImage]) -> ScoredSet:
    """Add the images, each marked where it reaches the threshold."""
    scored = ScoredSet()
    for image in images:
        scored.add(image, image.map_HW >= THRESHOLD)
    return scored
