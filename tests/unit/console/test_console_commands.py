"""Commands over HTTP: stored, published once, healed after a crash, shown with their outcome."""

from collections.abc import AsyncIterator

import httpx
import pytest

from services.console.adapters.commands import CommandWriter
from services.console.app import assemble
from services.console.domain.commands import CommandRequest
from services.console.settings import ConsoleSettings
from siad.contracts import keys
from siad.contracts.codec import decode
from siad.contracts.commands import CommandFate, CommandGiven, CommandKind, CommandOutcome
from siad.contracts.errors import TransientError
from siad.contracts.events import WeightsKind
from siad.contracts.place import Place
from siad.contracts.topics import COMMAND
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.store.commands import StoredCommands
from siad.runtime.store.registry import Registry
from siad.runtime.testing.diary import ProcessKilled
from siad.runtime.testing.mortal import IMMORTAL, MortalProducer
from siad.runtime.worker import StageProcess, prepare
from tests.events import NOON
from tests.manifests import make_manifest
from tests.unit.console.world import LINE_NAME, PRODUCT, Plant

PLACE = Place(LINE_NAME, PRODUCT)
ID = "0a" * 16
ADDRESS = f"/v1/lines/{LINE_NAME}/commands"
TRAIN = CommandRequest(
    line=LINE_NAME, product=PRODUCT, kind=CommandKind.TRAIN, command_id=ID, by="ann", reason="new lamp"
)


@pytest.fixture
async def plant() -> Plant:
    plant = Plant()
    await plant.create()
    plant.blobs.put(keys.line_pointer_key(LINE_NAME), b"{}")
    return plant


@pytest.fixture
async def client(plant: Plant) -> AsyncIterator[httpx.AsyncClient]:
    settings = ConsoleSettings()
    stage = StageProcess("console", settings)
    async with assemble(stage, settings, bus=plant.bus, blobs=plant.blobs):
        await prepare(stage)
        transport = httpx.ASGITransport(stage.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://console") as client:
            yield client


def released(plant: Plant, kind: WeightsKind, *thresholds: float) -> list[str]:
    """Release weights one after another."""
    registry = Registry(plant.blobs)
    names: list[str] = []
    for threshold in thresholds:
        manifest = make_manifest(kind=kind, line=LINE_NAME, product=PRODUCT, image_threshold=threshold)
        plant.blobs.put(keys.manifest_key(*PLACE, manifest.weights), manifest.to_json())
        registry.point(manifest, expected=registry.pointer(kind, PLACE), released_at=NOON)
        names.append(manifest.weights)
    return names


def published(plant: Plant) -> list[CommandGiven]:
    return [decode(CommandGiven, record.value) for record in plant.bus.records(COMMAND.name)]


async def give(client: httpx.AsyncClient, command_id: str = ID, **body: str) -> httpx.Response:
    return await client.put(f"{ADDRESS}/{command_id}", json={"product": PRODUCT, "by": "ann", **body})


async def test_a_command_is_stored_published_and_shown_until_its_stage_answers(
    plant: Plant, client: httpx.AsyncClient
) -> None:
    response = await give(client, kind="hold", reason="new lamp")
    assert (response.status_code, response.json()["stage"]) == (202, "labeler")
    [event] = published(plant)
    assert (event.kind, event.by, event.reason) == (CommandKind.HOLD, "ann", "new lamp")
    [shown] = (await client.get(ADDRESS)).json()["commands"]
    assert (shown["kind"], shown["fate"]) == ("hold", None)
    outcome = CommandOutcome(
        command_id=ID, stage="labeler", fate=CommandFate.REFUSED, detail="no such place", ended_at=NOON
    )
    await StoredCommands(AsyncBlobs(plant.blobs, workers=1)).put_outcome(LINE_NAME, outcome)
    [shown] = (await client.get(ADDRESS)).json()["commands"]
    assert (shown["fate"], shown["detail"]) == ("refused", "no such place")


async def test_a_rollback_names_the_pointer_as_it_is_now(plant: Plant, client: httpx.AsyncClient) -> None:
    released(plant, WeightsKind.TEACHER, 1.0)
    first, _ = released(plant, WeightsKind.SEGMENTER, 2.0, 3.0)
    assert (await give(client, kind="rollback")).status_code == 202
    [event] = published(plant)
    assert (event.weights, event.moves, event.moves_revision) == (first, WeightsKind.SEGMENTER, 2)


async def test_a_rollback_to_nowhere_is_refused_and_nothing_is_stored(plant: Plant, client: httpx.AsyncClient) -> None:
    response = await give(client, kind="rollback")
    assert (response.status_code, published(plant)) == (409, [])
    assert "nothing was ever released" in response.json()["detail"]
    assert list(plant.blobs.list("commands/")) == []


async def test_a_repeat_by_the_same_id_is_one_command_and_another_under_it_is_refused(
    plant: Plant, client: httpx.AsyncClient
) -> None:
    assert [(await give(client, kind="train")).status_code for _ in range(2)] == [202, 202]
    assert (await give(client, kind="hold")).status_code == 409
    assert {(one.command_id, one.kind) for one in published(plant)} == {(ID, CommandKind.TRAIN)}
    assert len((await client.get(ADDRESS)).json()["commands"]) == 1


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (f"{ADDRESS}/{ID}", {"kind": "train", "product": PRODUCT, "by": ""}, 422),
        (f"{ADDRESS}/{ID}", {"kind": "explode", "product": PRODUCT, "by": "ann"}, 422),
        (f"{ADDRESS}/xyz", {"kind": "train", "product": PRODUCT, "by": "ann"}, 422),
        (f"/v1/lines/other/commands/{ID}", {"kind": "train", "product": PRODUCT, "by": "ann"}, 404),
    ],
)
async def test_bad_input_is_named_and_stores_nothing(
    plant: Plant, client: httpx.AsyncClient, path: str, body: dict[str, str], status: int
) -> None:
    response = await client.put(path, json=body)
    assert response.status_code == status
    assert response.json()["detail"]
    assert list(plant.blobs.list("commands/")) == []


async def test_a_process_killed_before_the_event_leaves_it_to_the_next_one(plant: Plant) -> None:
    store = AsyncBlobs(plant.blobs, workers=1)
    with pytest.raises(ProcessKilled):
        await CommandWriter(store, MortalProducer(lives=0), plant.clock).give(TRAIN)
    producer = MortalProducer()
    writer = CommandWriter(store, producer, plant.clock)
    await writer.announce()
    await writer.announce()
    assert [message.key for message in producer.sent] == [str(PLACE)]


async def test_a_broker_that_is_away_gets_the_command_later(plant: Plant) -> None:
    producer = MortalProducer(down=True)
    writer = CommandWriter(AsyncBlobs(plant.blobs, workers=1), producer, plant.clock)
    await writer.give(TRAIN)
    with pytest.raises(TransientError):
        await writer.announce()
    producer.down = False
    await writer.announce()
    assert len(producer.sent) == 1


async def test_a_command_with_an_outcome_is_not_published_again(plant: Plant) -> None:
    store, producer = AsyncBlobs(plant.blobs, workers=1), MortalProducer(lives=IMMORTAL)
    await CommandWriter(store, MortalProducer(), plant.clock).give(TRAIN)
    outcome = CommandOutcome(command_id=ID, stage="trainer", fate=CommandFate.DONE, detail="done", ended_at=NOON)
    await StoredCommands(store).put_outcome(LINE_NAME, outcome)
    await CommandWriter(store, producer, plant.clock).announce()
    assert producer.sent == []
