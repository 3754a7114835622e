"""Routes of the page Status: alerts, runbooks, dashboards."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Final, Protocol, Self

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, Field

from services.console.domain.status import MINUTES_MAX, BoardRequest, PanelAnswer, alerts_for, find_board
from services.console.routes import LineName
from siad.contracts.access import Permission
from siad.runtime.access.guard import principal_of
from siad.runtime.dashboards.all import DASHBOARDS
from siad.runtime.dashboards.answers import Alert, Series
from siad.runtime.dashboards.panel import Kind, Unit
from siad.runtime.dashboards.prometheus import PrometheusError
from siad.runtime.problems import Problem

BoardName = Annotated[str, Path(pattern="^[a-z]{1,20}$", description="fleet, line, learning or pods")]
Minutes = Annotated[int, Query(ge=1, le=MINUTES_MAX, description="How far back")]


class Monitoring(Protocol):
    """Reads a Prometheus."""

    @property
    def is_known(self) -> bool:
        """Whether it has an address here."""
        ...

    async def alerts(self) -> tuple[Alert, ...]:
        """Read the alerts of SIAD; none without an address.

        Raises:
            PrometheusError: it does not answer.
        """
        ...

    async def board(self, request: BoardRequest) -> tuple[PanelAnswer, ...]:
        """Read the panels of a dashboard; none without an address."""
        ...


class Runbooks(Protocol):
    """Pages about alerts."""

    def read(self, alert: str) -> str | None:
        """Return the Markdown page of an alert; None without one."""
        ...


@dataclass(frozen=True, slots=True)
class StatusDependencies:
    """Dependencies of these routes."""

    monitoring: Monitoring
    runbooks: Runbooks
    failures: Callable[[], Awaitable[Mapping[str, str]]]  # what the console waits for, by its check


class AlertResponse(BaseModel):
    """An alert that fires, or will if nothing changes."""

    name: str = Field(description="Also of its runbook")
    is_firing: bool = Field(description="false: its condition holds, and not for long enough yet")
    severity: str = Field(description="critical: act now; warning: act this shift")
    since_at: datetime
    summary: str
    impact: str
    labels: dict[str, str] = Field(description="What it is about, such as line and stage")

    @classmethod
    def of(cls, alert: Alert) -> Self:
        """Describe an alert."""
        return cls(
            name=alert.name,
            is_firing=alert.is_firing,
            severity=alert.severity,
            since_at=alert.since_at,
            summary=alert.summary,
            impact=alert.impact,
            labels=dict(alert.labels),
        )


class BoardListing(BaseModel):
    """A dashboard that can be asked for."""

    name: str
    title: str
    is_by_line: bool = Field(description="It has panels of one line")


class StatusResponse(BaseModel):
    """Alerts, and what the console itself waits for."""

    has_prometheus: bool = Field(description="SIAD_CONSOLE_PROMETHEUS_URL is set")
    problem: str = Field(description="Why there are no alerts; empty where Prometheus answered")
    alerts: list[AlertResponse] = Field(description="Firing and critical ones first")
    boards: list[BoardListing]
    failures: dict[str, str] = Field(description="What the console waits for, by its check; empty while it is ready")


class SeriesResponse(BaseModel):
    """One series; times without a value are left out."""

    name: str
    times_s: list[float] = Field(description="Since 1970")
    values: list[float]

    @classmethod
    def of(cls, found: Series) -> Self:
        """Describe a series."""
        return cls(name=found.name, times_s=list(found.times_s), values=list(found.values))


class PanelResponse(BaseModel):
    """A panel and its series."""

    title: str
    text: str
    unit: Unit
    kind: Kind
    empty_until: str = Field(description="First event before which it has no series; empty: it always has some")
    series: list[SeriesResponse]
    problem: str = Field(description="Why it has no series; empty where Prometheus answered")

    @classmethod
    def of(cls, answer: PanelAnswer) -> Self:
        """Describe a panel."""
        panel, series = answer.panel, [SeriesResponse.of(one) for one in answer.series]
        return cls(
            title=panel.title,
            text=panel.text,
            unit=panel.unit,
            kind=panel.kind,
            empty_until=panel.empty_until,
            series=series,
            problem=answer.problem,
        )


class BoardResponse(BaseModel):
    """A dashboard."""

    title: str
    panels: list[PanelResponse]


class RunbookResponse(BaseModel):
    """The page of an alert."""

    text: str = Field(description="Markdown")


def make_status_routes(dependencies: StatusDependencies) -> APIRouter:
    """Make the routes."""
    router = APIRouter(prefix="/v1", tags=["status"])

    @router.get("/status")
    async def status(request: Request) -> StatusResponse:
        """Alerts of lines that the sender may view, and failed checks."""
        sender, problem, alerts = principal_of(request), "", list[Alert]()
        try:
            found = await dependencies.monitoring.alerts()
            sees_all = sender.allows(Permission.VIEW)
            alerts = alerts_for(found, partial(sender.allows, Permission.VIEW), sees_all=sees_all)
        except PrometheusError as error:
            problem = str(error)
        boards = [
            BoardListing(name=one.name, title=one.title, is_by_line=any(panel.is_by_line for panel in one.panels))
            for one in DASHBOARDS
        ]
        return StatusResponse(
            has_prometheus=dependencies.monitoring.is_known,
            problem=problem,
            alerts=[AlertResponse.of(one) for one in alerts],
            boards=boards,
            failures=dict(await dependencies.failures()),
        )

    @router.get("/status/boards/{board}", responses=UNKNOWN_BOARD)
    async def board(board: BoardName, minutes: Minutes = 60) -> BoardResponse:
        """Panels of a dashboard, of every line."""
        return await _board(dependencies, BoardRequest(board=board, minutes=minutes, line=""))

    @router.get("/lines/{line}/status/boards/{board}", responses=UNKNOWN_BOARD)
    async def board_of_line(line: LineName, board: BoardName, minutes: Minutes = 60) -> BoardResponse:
        """Panels of a dashboard that can be asked for one line."""
        return await _board(dependencies, BoardRequest(board=board, minutes=minutes, line=line))

    @router.get("/runbooks/{alert}", responses={404: {"description": "No such page"}})
    async def runbook(
        alert: Annotated[str, Path(pattern="^Siad[A-Za-z]{1,60}$", description="Name of the alert")],
    ) -> RunbookResponse:
        """What to do about an alert."""
        if (found := dependencies.runbooks.read(alert)) is None:
            raise Problem(404, "unknown-runbook", f"there is no runbook of {alert!r}; docs/runbooks has all")
        return RunbookResponse(text=found)

    return router


UNKNOWN_BOARD: Final[dict[int | str, dict[str, Any]]] = {
    404: {"description": "No such dashboard"},
    409: {"description": "No Prometheus is set"},
}


async def _board(dependencies: StatusDependencies, request: BoardRequest) -> BoardResponse:
    if (known := find_board(request.board)) is None:
        names = ", ".join(one.name for one in DASHBOARDS)
        raise Problem(404, "unknown-dashboard", f"there is no dashboard {request.board!r}. Dashboards: {names}")
    if not dependencies.monitoring.is_known:
        detail = "the console has no Prometheus to ask; nothing was read. Set SIAD_CONSOLE_PROMETHEUS_URL"
        raise Problem(409, "no-prometheus", detail)
    answers = await dependencies.monitoring.board(request)
    return BoardResponse(title=known.title, panels=[PanelResponse.of(one) for one in answers])
