"""Dashboards and alerts of the page Status. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from siad.runtime.dashboards.all import DASHBOARDS
from siad.runtime.dashboards.answers import Alert, Series
from siad.runtime.dashboards.panel import Dashboard, Panel

POINTS: Final = 240  # of each graph
MINUTES_MAX: Final = 31 * 24 * 60


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardRequest:
    """A dashboard of the newest minutes."""

    board: str
    minutes: int
    line: str  # empty: every line


@dataclass(frozen=True, slots=True)
class PanelAnswer:
    """A panel and its series, or why it has none."""

    panel: Panel
    series: tuple[Series, ...]
    problem: str  # empty: it was answered


def find_board(name: str) -> Dashboard | None:
    """Return the dashboard of a name; None where there is none."""
    return next((board for board in DASHBOARDS if board.name == name), None)


def panels_of(request: BoardRequest) -> tuple[Panel, ...]:
    """Return the panels of a dashboard.

    Of one line they are those whose queries can be asked for it alone.
    """
    board = find_board(request.board)
    panels = () if board is None else board.panels
    return tuple(panel for panel in panels if not request.line or panel.is_by_line)


def alerts_for(alerts: Sequence[Alert], may_view: Callable[[str], bool], *, sees_all: bool) -> list[Alert]:
    """Return the alerts that a person may read.

    Args:
        alerts: of the whole system.
        may_view: whether the person may view a line.
        sees_all: whether the person may view every line, and so alerts that name none.
    """
    return [one for one in alerts if (may_view(one.labels["line"]) if "line" in one.labels else sees_all)]
