"""Lists of captures over HTTP: pages, refusals, and what was erased."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from services.console.app import assemble
from services.console.settings import ConsoleSettings
from siad.contracts import keys
from siad.contracts.codec import encode
from siad.contracts.deletion import CaptureDeletion
from siad.contracts.topics import VERDICT
from siad.runtime.bus.port import Message
from siad.runtime.worker import StageProcess, prepare
from tests.unit.console.world import LINE_NAME, Plant, name_of, put_capture, verdict

ADDRESS = f"/v1/lines/{LINE_NAME}/captures"


@pytest.fixture
async def plant() -> Plant:
    plant = Plant()
    await plant.create()
    plant.blobs.put(keys.line_pointer_key(LINE_NAME), b"{}")
    for number in range(1, 6):
        put_capture(plant.blobs, number)
    async with plant.bus.producer() as producer:
        events = [verdict(number, number / 2) for number in range(1, 6)]
        await producer.publish([Message(topic=VERDICT.name, key=f"{LINE_NAME}/0", value=encode(one)) for one in events])
    return plant


@pytest.fixture
async def client(plant: Plant) -> AsyncIterator[httpx.AsyncClient]:
    settings = ConsoleSettings()
    stage = StageProcess("console", settings)
    async with assemble(stage, settings, bus=plant.bus, blobs=plant.blobs):
        await prepare(stage)
        tasks = [asyncio.create_task(stage.tasks[name]()) for name in ("verdicts", "corrections", "forget")]
        try:
            async with asyncio.timeout(20):
                while {"verdicts", "corrections"} & (await stage.health.readiness_failures()).keys():
                    await asyncio.sleep(0.01)
            transport = httpx.ASGITransport(stage.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://console") as client:
                yield client
        finally:
            stage.stop.set()
            await asyncio.wait(tasks, timeout=5)


async def names(client: httpx.AsyncClient, **params: str | int) -> list[str]:
    response = await client.get(ADDRESS, params=params)
    assert response.status_code == 200, response.text
    return [one["capture_id"] for one in response.json()["captures"]]


async def test_pages_go_on_and_answers_show_at_once(client: httpx.AsyncClient) -> None:
    first = (await client.get(ADDRESS, params={"limit": 3})).json()
    assert [one["capture_id"] for one in first["captures"]] == [name_of(5), name_of(4), name_of(3)]
    shown = first["captures"][0]
    assert (shown["state"], shown["answer"], shown["verdict"]["score"], shown["serial"]) == ("open", None, 2.5, "n5")
    second = (await client.get(ADDRESS, params={"limit": 3, "after": first["next"]})).json()
    assert [one["capture_id"] for one in second["captures"]] == [name_of(2), name_of(1)]
    assert second["next"] is None
    response = await client.post(f"{ADDRESS}/{name_of(4)}/corrections", params={"verdict": "good", "author": "ann"})
    assert response.status_code == 201
    assert await names(client, person="ann", state="answered") == [name_of(4)]
    assert await names(client, decision="reject", state="open", order="score") == [name_of(5)]
    assert await names(client, received_before="2026-05-04T12:00:03Z") == [name_of(2), name_of(1)]


async def test_what_was_erased_is_not_shown(client: httpx.AsyncClient, plant: Plant) -> None:
    assert name_of(2) in await names(client)
    record = CaptureDeletion.of(put_capture(plant.blobs, 2), at=plant.clock.now())
    plant.blobs.put(keys.deletion_key(LINE_NAME, name_of(2)), record.to_json())
    async with asyncio.timeout(20):
        while name_of(2) in await names(client):
            await asyncio.sleep(0.2)  # records of deletion may be a few seconds old
    assert len(await names(client)) == 4


@pytest.mark.parametrize(
    ("params", "status", "text"),
    [
        ({"after": "xx"}, 422, "is no cursor; nothing was read"),
        ({"received_from": "2026-05-04T12:00:00"}, 422, "a time without zone"),
        ({"score_min": "nan"}, 422, "finite"),
        ({"verdict": "perhaps"}, 422, "good"),
        ({"limit": 1000}, 422, "200"),
        ({"colour": "red"}, 422, "colour"),
    ],
)
async def test_wrong_questions_are_refused(
    client: httpx.AsyncClient, params: dict[str, str], status: int, text: str
) -> None:
    response = await client.get(ADDRESS, params=params)
    assert response.status_code == status
    assert text in response.text


async def test_a_cursor_belongs_to_its_order(client: httpx.AsyncClient) -> None:
    after = (await client.get(ADDRESS, params={"limit": 1})).json()["next"]
    response = await client.get(ADDRESS, params={"order": "score", "after": after})
    assert response.status_code == 422
    assert response.json()["type"].endswith("invalid-cursor")
    assert (await client.get("/v1/lines/press-9/captures")).status_code == 404


async def test_two_pages_are_given_different_captures(client: httpx.AsyncClient, plant: Plant) -> None:
    async def shown(holder: str | None, count: int = 2) -> set[str]:
        params = {"count": count} | ({"holder": holder} if holder else {})
        response = await client.get(f"/v1/lines/{LINE_NAME}/review", params=params)
        assert response.status_code == 200, response.text
        assert (response.json()["leased_until"] is None) == (holder is None)
        return {item["capture_id"] for item in response.json()["items"]}

    first, second = await shown("page-ann-1"), await shown("page-bob-1")
    assert (len(first), len(second), first & second) == (2, 2, set())
    assert await shown("page-ann-1") == first, "a page keeps what it has"
    assert await shown(None, count=5) == {name_of(number) for number in range(1, 6)}
    (held, *_) = sorted(first)
    address, bob = f"{ADDRESS}/{held}/lease", {"holder": "page-bob-1"}
    assert (await client.put(address, params=bob)).status_code == 409
    assert (await client.put(address, params={"holder": "page-ann-1"})).status_code == 200
    assert (await client.delete(address, params={"holder": "page-ann-1"})).status_code == 204
    assert (await client.put(address, params=bob)).status_code == 200
    answered = await client.post(f"{ADDRESS}/{held}/corrections", params={"verdict": "good", "author": "ann"})
    assert answered.status_code == 201, "an answer needs no lease"
    assert (await client.put(address, params={"holder": "x"})).status_code == 422


async def test_what_a_person_put_off_others_are_still_asked(client: httpx.AsyncClient, plant: Plant) -> None:
    async def asked() -> set[str]:
        response = await client.get(f"/v1/lines/{LINE_NAME}/review")
        return {item["capture_id"] for item in response.json()["items"]}

    capture = name_of(3)
    address = f"{ADDRESS}/{capture}/deferral"
    stored = await client.put(address, params={"author": "ann"}, json={"reason": "  glare "})
    assert (stored.status_code, stored.json()["reason"]) == (200, "glare")
    assert capture in await asked(), "the sender is a program, not ann"
    assert await names(client, deferred="true") == [capture]
    (row,) = (await client.get(ADDRESS, params={"deferred": "true"})).json()["captures"]
    assert (row["state"], [(one["person"], one["reason"]) for one in row["deferrals"]]) == ("open", [("ann", "glare")])
    assert await names(client, deferred="true", state="answered") == []
    assert len(await names(client, state="open")) == 5, "it is still open"
    await client.post(f"{ADDRESS}/{capture}/corrections", params={"verdict": "good", "author": "bob"})
    assert await names(client, deferred="true") == [], "an answer ends it"
    assert (await client.delete(address, params={"author": "ann"})).status_code == 204


@pytest.mark.parametrize(
    ("capture", "author", "reason", "status"),
    [
        (name_of(1), "ann", "   ", 422),
        (name_of(1), "ann", "x" * 201, 422),
        (name_of(1), None, "glare", 422),
        (name_of(9), "ann", "glare", 404),
    ],
)
async def test_a_deferral_needs_capture_person_and_reason(
    client: httpx.AsyncClient, capture: str, author: str | None, reason: str, status: int
) -> None:
    params = {"author": author} if author else {}
    response = await client.put(f"{ADDRESS}/{capture}/deferral", params=params, json={"reason": reason})
    assert response.status_code == status, response.text
    assert await names(client, deferred="true") == []
