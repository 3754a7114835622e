"""Answers of a Prometheus: series and alerts."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Span:
    """A range of time, and the distance of its points."""

    start_s: float  # since 1970
    end_s: float
    step_s: float


@dataclass(frozen=True, slots=True)
class Series:
    """Values of one series; times without a value are left out."""

    name: str
    times_s: tuple[float, ...]  # since 1970
    values: tuple[float, ...]  # finite


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """An alert of SIAD that fires, or will if nothing changes."""

    name: str
    is_firing: bool
    severity: str
    since_at: datetime
    summary: str
    impact: str
    labels: Mapping[str, str]  # what it is about, such as line and stage
