"""The page Lines behind HTTP: what lines do now, previews of budgets, and what is passed on to ingest."""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

import httpx
import pytest
from fastapi import FastAPI

from services.console.adapters.ingest import IngestProxy
from services.console.adapters.standings import StoredStandings
from services.console.domain.overview import JUDGED_MAX, false_rejects, recent_verdicts
from services.console.domain.preview import preview_of, scored_by
from services.console.domain.thresholds import ThresholdState, scores_by_weights
from services.console.handlers import ConsolePorts
from services.console.web.overview import LinesDependencies, make_overview_routes
from siad.contracts import keys
from siad.contracts.events import Decision, LineChanged, WeightsKind
from siad.contracts.ids import WeightsId
from siad.contracts.manifest import RateEstimate
from siad.contracts.place import Place
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.health import Health
from siad.runtime.http import make_app
from siad.runtime.store.registry import Registry
from siad.runtime.testing.mortal import MortalProducer
from tests.events import NOON, make_line_changed
from tests.manifests import make_manifest
from tests.unit.console.world import LINE_NAME, PRODUCT, Plant, make_ports, name_of, pseudo_mask, verdict

PLACE = Place(LINE_NAME, PRODUCT)
SCORES = tuple(1 + number / 10 for number in range(10))


@dataclass
class Ingest:
    """Notes requests, and answers all alike."""

    status: int = 202
    body: bytes = b'{"capture_id": "c"}'
    seen: list[httpx.Request] = field(default_factory=list)
    is_away: bool = False

    def respond(self, request: httpx.Request) -> httpx.Response:
        if self.is_away:
            raise httpx.ConnectError("refused")
        self.seen.append(request)
        return httpx.Response(self.status, content=self.body)


@dataclass
class World:
    """The routes over a store in memory and a fake ingest."""

    plant: Plant = field(default_factory=Plant)
    ingest: Ingest = field(default_factory=Ingest)
    lines: dict[str, LineChanged] = field(
        default_factory=lambda: {LINE_NAME: make_line_changed(line=LINE_NAME, product=PRODUCT, revision=3)}
    )
    has_ingest: bool = True

    def __post_init__(self) -> None:
        self.ports: ConsolePorts = make_ports(self.plant.blobs, MortalProducer(), self.plant.clock)

    def app(self) -> FastAPI:
        client = httpx.AsyncClient(base_url="http://ingest", transport=httpx.MockTransport(self.ingest.respond))
        app = make_app(stage="console", health=Health("console", clock=self.plant.clock))
        dependencies = LinesDependencies(
            lines=self._lines,
            standings=StoredStandings(AsyncBlobs(self.plant.blobs, workers=1), self.plant.clock),
            ingest=IngestProxy(client if self.has_ingest else None),
            ports=self.ports,
            image_max_bytes=100,
            body_timeout_s=5.0,
        )
        app.include_router(make_overview_routes(dependencies))
        return app

    def _lines(self) -> Mapping[str, LineChanged]:
        return self.lines

    def release(self, **fields: object) -> str:
        """Put a teacher in service."""
        manifest = make_manifest(
            kind=WeightsKind.TEACHER, line=LINE_NAME, product=PRODUCT, held_out_scores=SCORES, **fields
        )
        self.plant.blobs.put(keys.manifest_key(*PLACE, manifest.weights), manifest.to_json())
        Registry(self.plant.blobs).point(manifest, expected=None, released_at=NOON)
        return manifest.weights


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def client(world: World) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(world.app(), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://console") as client:
        yield client


async def line_of(client: httpx.AsyncClient) -> dict[str, object]:
    [found] = (await client.get("/v1/overview")).json()["lines"]
    return dict(found)


async def test_a_line_without_a_teacher_counts_its_normals(world: World, client: httpx.AsyncClient) -> None:
    for number in range(3):
        world.plant.blobs.put(keys.normal_key(*PLACE, name_of(number)), b"{}")
    found = await line_of(client)
    assert (found["normals"], found["normals_needed"], found["judges"]) == (3, 10, "")


async def test_a_line_with_a_teacher_says_what_it_decided_and_which_false_rejects_to_expect(
    world: World, client: httpx.AsyncClient
) -> None:
    weights = world.release(false_rejects=RateEstimate(budget=0.05, estimated=0.06, low=0.01, high=0.2))
    for number, score in enumerate((1.0, 3.0, 1.5)):
        world.ports.window.add_verdict(verdict(number, score))
    world.ports.window.add_verdict(verdict(9, decision=Decision.UNKNOWN, reason="no-weights"))
    found = await line_of(client)
    assert (found["judges"], found["judges_kind"], found["normals"]) == (weights, "teacher", None)
    assert (found["passed"], found["rejected"], found["unknown"]) == (2, 1, 1)
    assert isinstance(found["newest"], list)
    assert [one["decision"] for one in found["newest"]] == ["unknown", "pass", "reject", "pass"]
    assert isinstance(found["false_rejects"], dict)
    assert found["false_rejects"]["used"] == pytest.approx(1.2)


async def test_a_damaged_record_of_one_line_is_named_and_hides_no_other(
    world: World, client: httpx.AsyncClient
) -> None:
    world.lines["press-2"] = make_line_changed(line="press-2", product=PRODUCT)
    world.plant.blobs.put(keys.hold_key("press-2", PRODUCT), b"broken")
    first, second = (await client.get("/v1/overview")).json()["lines"]
    assert (first["unreadable"], second["line"]) == ("", "press-2")
    assert "not" in second["unreadable"]


async def test_settings_are_passed_on_with_their_condition(world: World, client: httpx.AsyncClient) -> None:
    world.ingest.status, world.ingest.body = 412, b'{"detail": "revision 4"}'
    read = await client.get(f"/v1/lines/{LINE_NAME}/settings")
    assert (read.headers["ETag"], read.json()["product"]) == ('"3"', PRODUCT)
    body = {"false_reject_budget": 0.02}
    response = await client.put(f"/v1/lines/{LINE_NAME}/settings", json=body, headers={"If-Match": '"3"'})
    assert (response.status_code, response.json()) == (412, {"detail": "revision 4"})
    [sent] = world.ingest.seen
    assert (sent.method, sent.url.path, sent.headers["If-Match"]) == ("PUT", f"/v1/lines/{LINE_NAME}", '"3"')
    assert json.loads(sent.content) == body


async def test_an_image_is_passed_on_as_it_is(world: World, client: httpx.AsyncClient) -> None:
    response = await client.post(f"/v1/lines/{LINE_NAME}/images?intent=normal", content=b"bytes")
    assert response.status_code == 202
    [sent] = world.ingest.seen
    assert (sent.url.path, sent.url.params["intent"], sent.content) == (
        f"/v1/lines/{LINE_NAME}/images", "normal", b"bytes"
    )  # fmt: skip


async def test_an_image_that_is_too_large_is_not_passed_on(world: World, client: httpx.AsyncClient) -> None:
    response = await client.post(f"/v1/lines/{LINE_NAME}/images?intent=normal", content=b"x" * 200_000)
    assert (response.status_code, world.ingest.seen) == (413, [])


@pytest.mark.parametrize("status", [429, 503])
async def test_ingest_that_is_busy_or_away_asks_to_try_again(
    world: World, client: httpx.AsyncClient, status: int
) -> None:
    world.ingest.status = status
    response = await client.post(f"/v1/lines/{LINE_NAME}/images?intent=normal", content=b"bytes")
    assert (response.status_code, "Retry-After" in response.headers) == (503, True)
    world.ingest.is_away = True
    response = await client.post(f"/v1/lines/{LINE_NAME}/images?intent=normal", content=b"bytes")
    assert response.status_code == 503


async def test_without_an_address_of_ingest_the_page_is_told_what_to_do() -> None:
    world = World(has_ingest=False)
    transport = httpx.ASGITransport(world.app())
    async with httpx.AsyncClient(transport=transport, base_url="http://console") as client:
        assert (await client.get("/v1/overview")).json()["may_change"] is False
        response = await client.put(f"/v1/lines/{LINE_NAME}/settings", json={})
    assert response.status_code == 409
    assert "SIAD_CONSOLE_INGEST_URL" in response.json()["detail"]


def test_only_the_newest_verdicts_count(world: World) -> None:
    for number in range(JUDGED_MAX + 50):
        world.ports.window.add_verdict(verdict(number, 3.0 if number < 50 else 1.0))
    found = recent_verdicts(world.ports.window.last_judged(LINE_NAME, PRODUCT, JUDGED_MAX))
    assert (found.passed, found.rejected, found.reject_ratio) == (JUDGED_MAX, 0, 0.0)
    assert found.newest[0].capture_id == name_of(JUDGED_MAX + 49)
    assert world.ports.window.last_judged(LINE_NAME, "other", JUDGED_MAX) == []


def test_a_line_that_judged_nothing_has_no_ratio(world: World) -> None:
    world.ports.window.add_pseudo_mask(pseudo_mask(1))
    found = recent_verdicts(world.ports.window.last_judged(LINE_NAME, PRODUCT, JUDGED_MAX))
    assert (found.reject_ratio, found.last_at, found.newest) == (None, None, ())


async def test_without_weights_no_false_rejects_are_expected(world: World) -> None:
    standing = await StoredStandings(AsyncBlobs(world.plant.blobs, workers=1), world.plant.clock).read(
        world.lines[LINE_NAME]
    )
    assert false_rejects(standing, ()) is None


@pytest.mark.parametrize(("budget", "direction"), [(0.3, "reject"), (0.01, "pass")])
def test_a_preview_names_the_verdicts_that_another_budget_changes(world: World, budget: float, direction: str) -> None:
    manifest = make_manifest(
        kind=WeightsKind.TEACHER, line=LINE_NAME, product=PRODUCT, held_out_scores=SCORES, image_threshold=1.95
    )
    weights = WeightsId(manifest.weights)
    for number in range(30):
        world.ports.window.add_verdict(verdict(number, 1 + number / 10, weights=weights, threshold=1.95))
    world.ports.window.add_verdict(verdict(40, 9.0))  # of other weights
    entries = list(world.ports.window.of_line(LINE_NAME))
    assert len(scored_by(entries, weights)) == 30
    state = ThresholdState(
        place=PLACE, weights=weights, scores=scores_by_weights(entries[:30], {})[weights], miss_cost=0.0, stored=None,
        computed=None,
    )  # fmt: skip
    found = preview_of(state, manifest, entries, budget=budget)
    assert found is not None
    assert found.in_use == 1.95
    assert {("reject" if one.is_reject else "pass") for one in found.changes} == {direction}
    changed = {one.capture_id for one in found.changes}
    for entry, finding in scored_by(entries, weights):
        is_changed = (finding.score >= 1.95) != (finding.score >= found.found.threshold)
        assert (entry.capture_id in changed) is is_changed


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_key_of_the_console_is_not_the_end_of_a_session(
    world: World, client: httpx.AsyncClient, status: int
) -> None:
    world.ingest.status = status
    response = await client.put(f"/v1/lines/{LINE_NAME}/settings", json={"product": PRODUCT})
    assert response.status_code == 502, response.text
    assert "SIAD_CONSOLE_INGEST_KEY" in response.json()["detail"]
