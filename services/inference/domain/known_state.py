"""Releases, settings and thresholds that images are judged by. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Final

from services.inference.domain.releases import ReleasePointer
from siad.contracts.corrections import ThresholdSet
from siad.contracts.events import LineChanged
from siad.contracts.json_codec import JsonRecord, JsonStyle

# Readiness checks that fail while broker or store is away, and that direct requests can do without. Where trials are
# not known, what serves decides.
STAND_IN_FOR: Final = frozenset(
    {"bus", "store", "spool", "lines", "teachers", "segmenters", "thresholds", "trials", "pointers", "weights"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownState(JsonRecord):
    """What a process knew when broker and store last answered it."""

    JSON_STYLE: ClassVar[JsonStyle] = JsonStyle.INDENTED

    store: str  # address of the store that the state belongs to
    as_of: datetime
    lines: Mapping[str, LineChanged]  # by key of the topic, as the next one
    thresholds: Mapping[str, ThresholdSet]
    releases: tuple[ReleasePointer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StaleState:
    """Age and reason of a state that may be out of date."""

    as_of: datetime | None  # broker and store last answered then; None: not known
    away: Mapping[str, str]  # what does not answer, with the reason


def may_serve(failures: Collection[str], *, is_known: bool) -> bool:
    """Whether direct requests are judged in spite of failed readiness checks.

    Only in an outage: where broker and store answer, the state is read before the stage is ready.
    """
    failed = frozenset(failures)
    return is_known and bool(failed & {"bus", "store", "spool"}) and failed <= STAND_IN_FOR
