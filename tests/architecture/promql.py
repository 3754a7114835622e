"""Metrics and labels that a PromQL expression names."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_SELECTOR: Final = re.compile(r"\b(siad[_:][a-z0-9_:]*)\s*(?:\{([^}]*)\})?")
_MATCHER: Final = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
_GROUPING: Final = re.compile(r"\b(?:by|on|group_left|ignoring|without)\s*\(([^)]*)\)")


@dataclass(frozen=True, slots=True)
class Selector:
    """One series selector: the metric, and its matchers."""

    metric: str
    labels: dict[str, tuple[str, ...]]  # the values that a matcher names; of a pattern, its alternatives


def selectors_of(expression: str) -> Iterator[Selector]:
    """Find the selectors of metrics of SIAD."""
    without_groupings = _GROUPING.sub(" ", expression)
    for name, matchers in _SELECTOR.findall(without_groupings):
        labels = {label: tuple(value.split("|")) for label, _, value in _MATCHER.findall(matchers)}
        yield Selector(name, labels)


def grouped_labels(expression: str) -> set[str]:
    """Labels that the expression groups or matches by."""
    return {label.strip() for group in _GROUPING.findall(expression) for label in group.split(",") if label.strip()}
