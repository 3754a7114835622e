"""Thresholds of weights in service, in words."""

from collections.abc import Mapping, Sequence
from typing import Any


def describe_thresholds(weights: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say for weights in service which threshold judges, and what it rejects.

    Args:
        weights: as ``GET /v1/weights`` of inference lists them, those that have a threshold.
    """
    return [_describe(one, one["threshold"]) for one in weights]


def _describe(weights: Mapping[str, Any], threshold: Mapping[str, Any]) -> str:
    where = f"set since, revision {threshold['revision']}" if threshold["revision"] else "of the manifest"
    rate, parts = threshold["false_rejects"], [threshold["reason"]]
    if rate is not None:
        parts.append(
            f"about {rate['estimated']:.1%} of good parts are rejected, with 90% probability {rate['low']:.1%} to "
            f"{rate['high']:.1%}"
        )
    text = "; ".join(parts)
    advice = f". {threshold['advice']}" if threshold["advice"] else ""
    name = f"{weights['line']}/{weights['product']}"
    return f"{name}: the {weights['kind']} judges at {threshold['image_threshold']:.4g} ({where}): {text}{advice}"
