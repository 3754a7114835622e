"""The page Status behind HTTP: alerts by line, dashboards, runbooks, and a Prometheus that fails."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from services.console.adapters.prometheus import FRESH_S, Prometheus
from services.console.adapters.runbooks import RUNBOOKS, RunbookFiles
from services.console.domain.status import BoardRequest, alerts_for, panels_of
from services.console.settings import ConsoleSettings
from siad.contracts.access import EVERY_LINE, Role
from siad.runtime.dashboards.all import DASHBOARDS
from siad.runtime.dashboards.answers import Alert
from siad.runtime.dashboards.prometheus import PrometheusError
from siad.runtime.testing.clock import FakeClock
from tests.events import NOON
from tests.unit.console.people import RunningConsole, code_of, open_link, running
from tests.unit.console.world import LINE_NAME, Plant


def alert(name: str, state: str = "firing", severity: str = "critical", **labels: str) -> dict[str, Any]:
    return {
        "labels": {"alertname": name, "severity": severity, **labels},
        "annotations": {"summary": f"{name} is so", "impact": "Parts wait."},
        "state": state,
        "activeAt": "2026-11-30T11:59:00.123456789Z",
        "value": "1e+00",
    }


@dataclass
class FakePrometheus:
    """Answers as a Prometheus does, or fails."""

    alerts: list[dict[str, Any]] = field(default_factory=list)
    asked: list[httpx.Request] = field(default_factory=list)
    is_away: bool = False

    def respond(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if self.is_away:
            raise httpx.ConnectError("refused")
        if request.url.path == "/api/v1/alerts":
            return httpx.Response(200, json={"status": "success", "data": {"alerts": self.alerts}})
        if "topk" in request.url.params["query"]:
            return httpx.Response(400, json={"status": "error", "error": "too much"})
        series = {"metric": {"line": LINE_NAME}, "values": [[1, "2"], [2, "NaN"]]}
        return httpx.Response(200, json={"status": "success", "data": {"result": [series]}})

    def adapter(self, clock: FakeClock) -> Prometheus:
        found = Prometheus("http://prometheus", clock)
        found._http = httpx.Client(base_url="http://prometheus", transport=httpx.MockTransport(self.respond))
        return found


@pytest.fixture
async def console() -> AsyncIterator[RunningConsole]:
    plant = Plant()
    await plant.create()
    async with running(plant) as console:
        yield console


async def test_alerts_are_sorted_and_read_again_after_a_moment() -> None:
    server, clock = FakePrometheus(), FakeClock(NOON)
    server.alerts = [
        alert("SiadReviewDebt", severity="warning"),
        alert("SiadBehind", state="pending"),
        alert("Other"),
        alert("SiadStageDown"),
    ]
    monitoring = server.adapter(clock)
    found = await monitoring.alerts()
    assert [one.name for one in found] == ["SiadStageDown", "SiadReviewDebt", "SiadBehind"]
    assert (found[0].summary, found[0].severity, dict(found[0].labels)) == ("SiadStageDown is so", "critical", {})
    await monitoring.alerts()
    assert len(server.asked) == 1
    await clock.sleep(FRESH_S + 1)
    server.is_away = True
    with pytest.raises(PrometheusError, match="no answer of a Prometheus at http://prometheus"):
        await monitoring.alerts()


async def test_a_panel_that_is_refused_stands_beside_the_others() -> None:
    server = FakePrometheus()
    request = BoardRequest(board="fleet", minutes=60, line="")
    answers = await server.adapter(FakeClock(NOON)).board(request)
    assert [one.panel for one in answers] == list(DASHBOARDS[0].panels)
    refused = [one for one in answers if one.problem]
    assert 0 < len(refused) < len(answers)
    assert all("too much" in one.problem for one in refused)
    assert all(one.series[0].values == (2.0,) for one in answers if not one.problem)


async def test_of_one_line_only_panels_that_name_it_are_asked() -> None:
    server = FakePrometheus()
    await server.adapter(FakeClock(NOON)).board(BoardRequest(board="learning", minutes=5, line=LINE_NAME))
    assert server.asked
    assert all(f'line=~"{LINE_NAME}"' in one.url.params["query"] for one in server.asked)
    assert panels_of(BoardRequest(board="pods", minutes=5, line=LINE_NAME)) == ()


def test_a_person_of_one_line_reads_the_alerts_of_that_line() -> None:
    named = {"SiadStageDown": {}, "SiadBrakeOfA": {"line": "a"}, "SiadBrakeOfB": {"line": "b"}}
    found = [
        Alert(name=name, is_firing=True, severity="", since_at=NOON, summary="", impact="", labels=labels)
        for name, labels in named.items()
    ]
    shown = alerts_for(found, lambda line: line == "a", sees_all=False)
    assert [one.name for one in shown] == ["SiadBrakeOfA"]
    assert len(alerts_for(found, lambda _: True, sees_all=True)) == 3


async def test_without_a_prometheus_the_console_says_what_to_set(console: RunningConsole) -> None:
    async with console.program() as program:
        status = (await program.get("/v1/status")).json()
        refused = await program.get("/v1/status/boards/fleet")
        unknown = await program.get("/v1/status/boards/nothing")
    assert (status["has_prometheus"], status["alerts"], status["problem"]) == (False, [], "")
    assert [one["name"] for one in status["boards"]] == ["fleet", "line", "learning", "pods"]
    assert (refused.status_code, code_of(refused)) == (409, "no-prometheus")
    assert "SIAD_CONSOLE_PROMETHEUS_URL" in refused.json()["detail"]
    assert (unknown.status_code, code_of(unknown)) == (404, "unknown-dashboard")


async def test_a_prometheus_that_is_away_is_named(console: RunningConsole) -> None:
    settings = ConsoleSettings(prometheus_url="http://127.0.0.1:9")
    async with running(console.plant, settings) as other, other.program() as program:
        status = (await program.get("/v1/status")).json()
        board = (await program.get("/v1/status/boards/pods")).json()
    assert "http://127.0.0.1:9" in status["problem"]
    assert all("http://127.0.0.1:9" in panel["problem"] for panel in board["panels"])


async def test_a_person_of_one_line_may_not_read_the_whole_fleet(console: RunningConsole) -> None:
    console.add("pat", {LINE_NAME: Role.VIEWER})
    console.add("kim", {EVERY_LINE: Role.VIEWER})
    for name, status in (("pat", 403), ("kim", 409)):
        async with console.browser() as browser:
            await open_link(console, browser, name)
            assert (await browser.get("/v1/status")).status_code == 200
            assert (await browser.get("/v1/status/boards/fleet")).status_code == status
            assert (await browser.get(f"/v1/lines/{LINE_NAME}/status/boards/line")).status_code == 409


def test_every_runbook_can_be_read_and_nothing_else() -> None:
    files = RunbookFiles()
    for path in RUNBOOKS.glob("*.md"):
        assert (files.read(path.stem) or "").startswith(f"# {path.stem}")
    assert files.read("SiadNothing") is None
    assert files.read("../operate") is None


@pytest.mark.parametrize("url", ["ftp://host", "http://user:secret@host", "host:9090"])
def test_an_address_that_is_no_prometheus_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="prometheus_url"):
        ConsoleSettings(prometheus_url=url)
