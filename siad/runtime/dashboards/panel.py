"""Panels of dashboards, as data."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

LINE: Final = "$line"  # variable of a dashboard: a pattern of lines
STAGE: Final = "$stage"  # a pattern of stages


class Unit(StrEnum):
    """Unit of a panel's values, by Grafana's name."""

    SECONDS = "s"
    RATIO = "percentunit"  # 0..1
    COUNT = "short"
    PER_SECOND = "ops"
    BYTES = "bytes"


class Kind(StrEnum):
    """How a panel shows its values, by Grafana's name."""

    GRAPH = "timeseries"
    NUMBER = "stat"  # the newest value


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL expression, and the text of its series."""

    expr: str
    legend: str  # {{label}} stands for the value of a label

    def filled(self, *, line: str = ".*", stage: str = ".*") -> str:
        """Return the expression with patterns in place of its variables."""
        return self.expr.replace(LINE, line).replace(STAGE, stage)


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Queries that are shown together, in one unit."""

    title: str
    unit: Unit
    queries: tuple[Query, ...]
    text: str  # what it shows, one or two sentences
    kind: Kind = Kind.GRAPH
    empty_until: str = ""  # the first event before which it has no series; empty: it always has some

    @property
    def is_by_line(self) -> bool:
        """Whether each of its queries can be asked for one line alone."""
        return all(LINE in query.expr for query in self.queries)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """Panels that answer one question."""

    name: str  # in addresses and file names
    title: str
    panels: tuple[Panel, ...]

    def variables(self) -> tuple[str, ...]:
        """Names of the variables that its queries use."""
        text = " ".join(query.expr for panel in self.panels for query in panel.queries)
        return tuple(name for name in ("line", "stage") if f"${name}" in text)
