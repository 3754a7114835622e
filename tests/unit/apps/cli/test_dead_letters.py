"""Dead letters: listed, sent again once, dropped; on a broker and a store in memory."""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from siad.apps.cli.__main__ import app
from siad.apps.local.connection import PlantConnection
from siad.audit.dead_letters import Letter, LetterFilter, PlantDeadLetters, event_of
from siad.contracts.codec import encode
from siad.contracts.dead_letters import LetterState
from siad.contracts.errors import PoisonError, TransientError
from siad.contracts.events import ImageStored, Intent
from siad.contracts.ids import CaptureId, ImageId
from siad.contracts.topics import IMAGE, PSEUDO_MASK, dead_letter, retry
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.bus.memory import MemoryBus, MemoryProducer
from siad.runtime.bus.port import Headers, Message, Record, TopicPartition
from siad.runtime.consumer.dead_letters import make_dead_letter
from siad.runtime.testing.clock import FakeClock

TIME = datetime(2026, 1, 1, tzinfo=UTC)
EVENT = ImageStored(
    capture_id=CaptureId("0" * 32),
    image_id=ImageId("1" * 64),
    image_uri="s3://siad/images/cell-1/2026-01-01/1.png",
    size_bytes=10,
    line="cell-1",
    product="lid",
    line_revision=1,
    captured_at=TIME,
    received_at=TIME,
    intent=Intent.INSPECT,
    serial="7",
)


class Plant:
    """A broker and a store, with letters in them."""

    def __init__(self) -> None:
        self.bus, self.blobs, self.clock = MemoryBus(partitions=3), MemoryBlobs(), FakeClock()
        self.letters = PlantDeadLetters(self.bus, self.blobs, clock=self.clock)
        self.offset = 0

    async def bury(
        self, payload: bytes, *, key: str = "cell-1/0", stage: str = "inference", headers: Headers = (), **lay: Any
    ) -> None:
        """Bury one record, as a stage does; ``lay`` says topic, offset and kind where they matter."""
        self.offset += 1
        self.clock.advance(1)
        record = Record(
            topic_partition=TopicPartition(lay.get("topic", IMAGE.name), 2),
            offset=lay.get("offset", self.offset),
            key=key.encode(),
            value=payload,
            headers=headers,
        )
        await self.bus.create_topics([dead_letter(stage)])
        error, kind = PoisonError(f"{payload[:8]!r} is no good"), lay.get("kind", "poison")
        async with self.bus.producer() as producer:
            await producer.publish([make_dead_letter(record, error, kind=kind, stage=stage, at=self.clock.now())])

    async def listed(self, **wanted: Any) -> list[Letter]:
        return [one for one in await self.letters.read() if LetterFilter(**wanted).matches(one)]

    def sent(self, stage: str = "inference") -> list[tuple[str, bytes | None]]:
        return [(record.key.decode(), record.value) for record in self.bus.records(retry(stage).name)]


@pytest.fixture
def plant() -> Plant:
    return Plant()


async def test_a_letter_says_where_it_lay_and_what_it_holds(plant: Plant) -> None:
    await plant.bury(encode(EVENT), headers=(("traceparent", b"00-1"),))
    (one,) = await plant.letters.read()
    assert (one.line, one.topic, one.state) == ("cell-1", IMAGE.name, LetterState.OPEN)
    assert one.headers == (("traceparent", b"00-1"),)
    said = event_of(one)
    assert said is not None
    assert (said["line"], said["intent"], said["captured_at"]) == ("cell-1", "inspect", "2026-01-01T00:00:00+00:00")
    assert (await plant.letters.find([str(one.id)])) == [one]


async def test_letters_of_every_stage_and_partition_are_read_oldest_first(plant: Plant) -> None:
    for number in range(30):
        await plant.bury(b"%d" % number, key=f"cell-{number}/0", stage=("labeler", "trainer", "inference")[number % 3])
    assert [one.letter.payload for one in await plant.letters.read()] == [b"%d" % number for number in range(30)]


async def test_a_record_that_was_buried_twice_is_one_letter(plant: Plant) -> None:
    await plant.bury(b"a", offset=7)
    await plant.bury(b"a", offset=7)  # the stage died between the letter and the commit
    await plant.bury(b"b", offset=8)
    assert [one.letter.offset for one in await plant.letters.read()] == [7, 8]


async def test_a_mark_from_before_the_broker_was_replaced_is_of_another_letter(plant: Plant) -> None:
    await plant.bury(b"a", offset=7)
    assert await plant.letters.drop(await plant.letters.read(), because="a test") == []
    plant.clock.advance(600)
    plant.bus = MemoryBus(partitions=3)
    plant.letters = PlantDeadLetters(plant.bus, plant.blobs, clock=plant.clock)
    await plant.bury(b"b", offset=7)
    (one,) = await plant.letters.read()
    assert one.state is LetterState.OPEN
    assert await plant.letters.drop([one], because="too") == []
    assert (await plant.letters.read())[0].state is LetterState.DROPPED


async def test_letters_are_told_apart_by_stage_line_kind_and_reason(plant: Plant) -> None:
    await plant.bury(b"a", key="cell-1/0")
    await plant.bury(b"b", key="cell-2/0", kind="quarantine")
    await plant.bury(b"c", key="cell-1/0", stage="labeler")
    assert [one.letter.payload for one in await plant.listed(line="cell-1")] == [b"a", b"c"]
    assert [one.letter.payload for one in await plant.listed(stage="inference")] == [b"a", b"b"]
    assert [one.letter.payload for one in await plant.listed(kind="quarantine")] == [b"b"]
    assert [one.letter.payload for one in await plant.listed(reason_contains="B'C' IS")] == [b"c"]


async def test_a_letter_is_sent_to_its_stage_with_the_topic_it_came_from(plant: Plant) -> None:
    await plant.bury(b"a", key="cell-1/3", headers=(("traceparent", b"00-1"),), offset=5)
    assert await plant.letters.replay(await plant.listed()) == []
    (record,) = plant.bus.records(retry("inference").name)
    assert (record.key, record.value) == (b"cell-1/3", b"a")
    assert dict(record.headers) == {
        "traceparent": b"00-1",
        "siad-first-topic": b"siad.image.v1",
        "siad-first-place": b"2/5",
        "siad-letter": str((await plant.letters.read())[0].id).encode(),
    }
    assert await plant.listed() == []


async def test_of_a_letter_that_was_sent_before_the_first_topic_is_kept(plant: Plant) -> None:
    told = (("siad-first-topic", b"siad.image.v1"), ("siad-first-place", b"2/5"), ("siad-letter", b"inference-0-0"))
    await plant.bury(b"a", topic=retry("inference").name, headers=told)
    (one,) = await plant.listed()
    assert one.topic == IMAGE.name
    await plant.letters.replay([one])
    (record,) = plant.bus.records(retry("inference").name)
    assert record.headers == (*told[:2], ("siad-letter", str(one.id).encode()))


async def test_a_letter_is_sent_once_unless_again_is_given(plant: Plant) -> None:
    await plant.bury(b"a")
    await plant.letters.replay(await plant.listed())
    letters = await plant.letters.read()
    (refused,) = await plant.letters.replay(letters)
    assert "was sent again" in refused
    assert len(plant.sent()) == 1
    assert await plant.letters.replay(letters, again=True) == []
    assert len(plant.sent()) == 2
    assert [one.mark.times for one in await plant.letters.read() if one.mark] == [2]


async def test_two_who_send_at_once_send_once(plant: Plant) -> None:
    await plant.bury(b"a")
    letters = await plant.listed()
    assert await plant.letters.replay(letters) == []
    (refused,) = await plant.letters.replay(letters)  # as it was read before
    assert "was just changed by" in refused
    assert len(plant.sent()) == 1


async def test_a_crash_while_sending_loses_no_letter(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    class Away(MemoryProducer):
        async def publish(self, messages: Sequence[Message]) -> None:
            raise TransientError("broker away")

    await plant.bury(b"a")
    letters = await plant.listed()
    with monkeypatch.context() as patch:
        patch.setattr("siad.runtime.bus.memory.MemoryProducer", Away)
        with pytest.raises(TransientError):
            await plant.letters.replay(letters)
    (one,) = await plant.listed()  # still to be seen to
    assert one.state is LetterState.SENDING
    (refused,) = await plant.letters.replay([one])
    assert "may still finish" in refused
    plant.clock.advance(60)
    assert await plant.letters.replay([one]) == []
    assert plant.sent() == [("cell-1/0", b"a")]


async def test_a_mended_letter_is_sent_in_place_of_what_was_buried(plant: Plant) -> None:
    await plant.bury(b"\xff")
    letters = await plant.listed()
    (refused,) = await plant.letters.replay(letters, payload=b"\xfe")
    assert "the corrected 1 bytes are not a ImageStored" in refused
    assert await plant.letters.replay(letters, payload=encode(EVENT)) == []
    assert plant.sent() == [("cell-1/0", encode(EVENT))]


async def test_a_letter_too_long_to_arrive_is_refused_before_it_is_marked(plant: Plant) -> None:
    await plant.bury(b"a" * 70_000)
    (refused,) = await plant.letters.replay(await plant.listed())
    assert "70000 bytes and may have been truncated" in refused
    assert len(await plant.listed()) == 1


async def test_a_dropped_letter_is_out_of_sight_and_says_why(plant: Plant) -> None:
    await plant.bury(b"a")
    assert await plant.letters.drop(await plant.listed(), because="a test") == []
    assert await plant.listed() == []
    (one,) = await plant.letters.read()
    assert one.mark is not None
    assert (one.state, one.mark.because) == (LetterState.DROPPED, "a test")
    (refused,) = await plant.letters.replay([one])
    assert "was dropped because 'a test'" in refused
    (refused,) = await plant.letters.drop([one], because="again")
    assert "it has been dropped" in refused


async def test_what_a_stranger_wrote_into_the_topic_hides_no_letter(plant: Plant) -> None:
    await plant.bury(b"a")
    async with plant.bus.producer() as producer:
        await producer.publish([Message(topic=dead_letter("inference").name, key="k", value=b"\xff")])
    assert len(await plant.listed()) == 1


async def test_an_id_that_is_not_there_is_told(plant: Plant) -> None:
    await plant.bury(b"a")
    with pytest.raises(LookupError, match="no dead letter inference-0-99"):
        await plant.letters.find(["inference-0-99"])
    with pytest.raises(ValueError, match="no stage ingest has dead letters"):
        await plant.letters.find(["ingest-0-1"])


# the commands


@pytest.fixture
def siad(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run one command on the plant, in a loop of its own."""

    def connect(_: Path) -> PlantConnection:
        bus = MemoryBus(partitions=3)
        bus._logs = plant.bus._logs
        return PlantConnection(bus, plant.blobs)

    monkeypatch.setattr("siad.apps.cli.dead_letters.connect", connect)
    monkeypatch.setattr("siad.apps.cli.dead_letters.console.width", 200)  # wide enough for a table

    def run(*args: str) -> Result:
        return CliRunner().invoke(app, ["dead-letters", *args])

    return run


def test_list_shows_what_is_open_and_all_the_rest_too(plant: Plant, siad: Any) -> None:
    asyncio.run(plant.bury(b"a"))
    asyncio.run(plant.bury(b"[b]", key="cell-2/0", kind="crash"))
    ids = [one["id"] for one in json.loads(siad("list", "--json").stdout)]
    assert len(ids) == 2
    table = siad("list").stdout
    assert all(word in table for word in (*ids, "cell-1", "cell-2", "poison", "crash", "b'[b]' is no good"))
    assert siad("drop", ids[0], "--because", "a test").exit_code == 0
    assert [one["id"] for one in json.loads(siad("list", "--json").stdout)] == ids[1:]
    states = [(one["id"], one["state"], one["because"]) for one in json.loads(siad("list", "--all", "--json").stdout)]
    assert states == [(ids[0], "dropped", "a test"), (ids[1], "open", "")]
    assert "1 older letters are not shown" in siad("list", "--all", "--limit", "1").stdout


def test_show_tells_all_and_saves_the_bytes(plant: Plant, siad: Any, tmp_path: Path) -> None:
    asyncio.run(plant.bury(encode(EVENT), offset=5))
    (one,) = json.loads(siad("list", "--json").stdout)
    shown = json.loads(siad("show", one["id"], "--payload", str(tmp_path / "bytes")).stdout)
    assert shown["place"] == {"topic": IMAGE.name, "partition": 2, "offset": 5}
    assert shown["event"]["serial"] == "7"
    assert (tmp_path / "bytes").read_bytes() == encode(EVENT)


def test_show_of_what_is_no_event_shows_how_it_begins(plant: Plant, siad: Any) -> None:
    asyncio.run(plant.bury(b"\xff\x00", topic=PSEUDO_MASK.name, stage="trainer"))
    (one,) = json.loads(siad("list", "--json").stdout)
    shown = json.loads(siad("show", one["id"]).stdout)
    assert (shown["event"], shown["payload_begins"]) == (None, "ff00")


def test_replay_sends_what_is_chosen_and_ends_with_1_where_one_is_refused(plant: Plant, siad: Any) -> None:
    asyncio.run(plant.bury(b"a"))
    asyncio.run(plant.bury(b"b"))
    asyncio.run(plant.bury(b"c", key="cell-2/0"))
    first, *_ = [one["id"] for one in json.loads(siad("list", "--json").stdout)]
    assert siad("replay", first).exit_code == 0
    refused = siad("replay", first)
    assert refused.exit_code == 1
    assert "Add --again" in refused.stderr
    assert "1 of 1 dead letters sent again" in siad("replay", "--line", "cell-1").stdout  # the other one
    assert "1 of 1 dead letters sent again" in siad("replay", "--all", "--stage", "inference").stdout
    assert sorted(value for _, value in plant.sent() if value) == [b"a", b"b", b"c"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((), "name the letters by ID"),
        (("inference-0-0", "--line", "cell-1"), "name the letters by ID"),
        (("--all",), "--all needs --stage"),
        (("--all", "--stage", "ingest"), "stage ingest has no dead letters"),
        (("--line", "cell-1", "--payload", "file"), "corrects one letter"),
        (("inference-0-0", "--payload", "/no/such/file"), "No such file"),
        (("17",), "is not the ID of a dead letter"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_line(siad: Any, args: Sequence[str], said: str) -> None:
    done = siad("replay", *args)
    assert done.exit_code == 1
    assert said in done.stderr
    assert "Traceback" not in done.output
