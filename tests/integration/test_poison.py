"""Poison of every kind on every work topic: each record ends in its fate, and those behind it go on.

Everything is sent at once to three stages on a real broker and a real store; then each test looks at one record.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from services.trainer.adapters.parquet import read_rows
from services.trainer.domain.ledger import LedgerRow
from siad.apps.local.kafka.node import KafkaNode
from siad.apps.local.weed import WeedNode
from siad.audit.dead_letters import PlantDeadLetters
from siad.contracts.codec import decode
from siad.contracts.errors import MissingError
from siad.contracts.events import DeadLetter, PseudoMaskCreated, VerdictGiven
from siad.contracts.keys import ledger_prefix
from siad.contracts.topics import IMAGE, PSEUDO_MASK, TOPICS, VERDICT, dead_letter, retry
from siad.runtime.blobs.settings import StoreSettings
from siad.runtime.bus.kafka.bus import KafkaBus
from siad.runtime.bus.port import Message
from tests.fixtures.kafka import quick_settings, require_kafka
from tests.integration.poison import PLACE, Images, Plant, Poison, PseudoMasks, TrappedBlobs

STAGES = ("labeler", "trainer", "inference")
DEAD = [dead_letter(stage) for stage in STAGES]
IMAGES = {  # kind -> what the labeler does, what inference does, what the line is told
    "empty": ("poison", "poison", None),
    "cut short": ("poison", "poison", None),
    "wrong type": ("poison", "poison", None),
    "a field that can't be": ("poison", "poison", "undecodable"),
    "unknown line revision": ("done", "poison", "undecodable"),
    "image deleted": ("poison", "poison", "undecodable"),
    "not an image": ("poison", "poison", "undecodable"),
    "40,000 px wide": ("poison", "poison", "undecodable"),
    "wrong digest": ("poison", "poison", "undecodable"),
    "crash of the handler": ("crash", "crash", "undecodable"),
}
PSEUDO_MASKS = {  # kind -> what the trainer does; it reads references, and leaves out later what they don't lead to
    "empty": "poison",
    "cut short": "poison",
    "wrong type": "poison",
    "image deleted": "done",
    "not an image": "done",
    "40,000 px wide": "done",
    "wrong digest": "poison",
    "region left of the image": "poison",
    "region right of the image": "done",
    "crash of the handler": "crash",
}


@dataclass
class Aftermath:
    """What was sent where, and what came of it."""

    sent: dict[tuple[str, str], list[Poison]] = field(default_factory=dict)  # (stage, topic) -> in order
    letters: dict[tuple[str, str, bytes], str] = field(default_factory=dict)  # (stage, topic, payload) -> kind
    drawn: set[str] = field(default_factory=set)  # captures
    judged: dict[str, str] = field(default_factory=dict)  # capture -> reason, or decision
    ledger: set[str] = field(default_factory=set)  # captures
    falls: dict[str, int] = field(default_factory=dict)
    mended: str = ""  # a capture whose image came back
    listed: list[dict[str, Any]] = field(default_factory=list)  # what the command says of the trainer's letters

    def fate(self, stage: str, topic: str, one: Poison) -> str:
        """What a stage did with a record."""
        done = {"labeler": self.drawn, "trainer": self.ledger, "inference": self.judged}[stage]
        return self.letters.get((stage, topic, one.payload)) or ("done" if one.capture in done else "lost")

    def is_complete(self) -> bool:
        """Every record has some fate."""
        return all(
            self.fate(stage, topic, one) != "lost" for (stage, topic), records in self.sent.items() for one in records
        )


@pytest.fixture(scope="module")
def aftermath(tmp_path_factory: pytest.TempPathFactory, weed_node: WeedNode) -> Iterator[Aftermath]:
    """Feed a plant, once; on a broker of its own, for its topics bear the names that they have everywhere."""
    require_kafka()
    node = KafkaNode(tmp_path_factory.mktemp("kafka-poison"))
    node.start()
    try:
        env = weed_node.environment(f"poison-{time.time_ns()}")
        blobs = TrappedBlobs(StoreSettings.of(env))
        blobs.ensure_bucket()
        after = asyncio.run(feed(Plant(KafkaBus(quick_settings(node.bootstrap)), blobs)))
        after.listed = list_letters("--stage", "trainer", env={**env, "SIAD_BUS_BOOTSTRAP": node.bootstrap})
        yield after
    finally:
        node.stop()


def list_letters(*args: str, env: Mapping[str, str]) -> list[dict[str, Any]]:
    """As an operator's terminal would."""
    command = [sys.executable, "-m", "siad.apps.cli", "dead-letters", "list", "--json", *args]
    told = subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, check=True, timeout=60)
    listed: list[dict[str, Any]] = json.loads(told.stdout)
    return listed


async def feed(plant: Plant) -> Aftermath:
    """Send everything, wait until all is done, mend one letter, and gather what came of it."""
    after = Aftermath()
    images = Images(plant.blobs, 0)
    masks = PseudoMasks(images, plant.blobs)
    await plant.begin([*TOPICS])
    made = alternating(images, list(IMAGES))
    after.sent["labeler", IMAGE.name] = after.sent["inference", IMAGE.name] = made
    after.sent["trainer", PSEUDO_MASK.name] = alternating(masks, list(PSEUDO_MASKS))
    for stage in STAGES:
        source = masks if stage == "trainer" else images
        kinds = list(PSEUDO_MASKS if stage == "trainer" else IMAGES)
        after.sent[stage, retry(stage).name] = alternating(source, kinds)
    for (stage, topic), records in after.sent.items():
        first = (PSEUDO_MASK if stage == "trainer" else IMAGE).name
        headers = (("siad-first-topic", first.encode()),) if "retry" in topic else ()
        if (stage, topic) != ("inference", IMAGE.name):  # the same records
            await plant.send([Message(topic=topic, key=PLACE, value=one.payload, headers=headers) for one in records])
    async with plant.running():
        await gather(plant, after, until=after.is_complete, timeout_s=150)
        await mend(plant, after, images)
        await gather(plant, after, until=lambda: after.mended in after.drawn, timeout_s=20)
    after.falls = plant.falls
    return after


def alternating(source: Images | PseudoMasks, kinds: list[str]) -> list[Poison]:
    """Each kind, and a good record behind it."""
    return [one for kind in kinds for one in (source.make(kind), source.good())]


async def gather(plant: Plant, after: Aftermath, *, until: object, timeout_s: float) -> None:
    """Look until there is nothing to wait for; what is missing then, the tests will tell."""
    end_s = time.monotonic() + timeout_s
    while not until() and time.monotonic() < end_s:  # type: ignore[operator]
        await asyncio.sleep(1.0)
        for record in await plant.records([*DEAD, PSEUDO_MASK, VERDICT]):
            topic = record.topic_partition.topic
            if topic == VERDICT.name:
                verdict = decode(VerdictGiven, record.value)
                after.judged.setdefault(verdict.capture_id, verdict.reason or verdict.decision.value)
            elif topic == PSEUDO_MASK.name:
                if record.value and b"e" * 64 in record.value:  # the scorer's
                    after.drawn.add(decode(PseudoMaskCreated, record.value).capture_id)
            else:
                letter = decode(DeadLetter, record.value)
                after.letters[topic.split(".")[1], letter.topic, letter.payload] = letter.kind
        for info in plant.blobs.list(ledger_prefix("line-1", "cell")):
            with suppress(MissingError):  # merged since; the next look finds its rows
                after.ledger |= {row.capture_id for row in read_rows(LedgerRow, plant.blobs.get(info.key).data)}


async def mend(plant: Plant, after: Aftermath, images: Images) -> None:
    """Bring a deleted image back, and have the labeler try again."""
    (one,) = [it for it in after.sent["labeler", IMAGE.name] if it.kind == "image deleted"]
    for key, data in images.deleted.items():
        plant.blobs.put(key, data)
    letters = PlantDeadLetters(plant.bus, plant.blobs)
    chosen = [it for it in await letters.read(["labeler"]) if it.letter.payload == one.payload]
    assert await letters.replay(chosen) == []
    after.mended = one.capture


def cases() -> list[tuple[str, str, str]]:
    stages = {"labeler": IMAGE, "inference": IMAGE, "trainer": PSEUDO_MASK}
    kinds = {IMAGE.name: list(IMAGES), PSEUDO_MASK.name: list(PSEUDO_MASKS)}
    return [
        (stage, topic, kind)
        for stage, work in stages.items()
        for topic in (work.name, retry(stage).name)
        for kind in kinds[work.name]
    ]


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.parametrize(("stage", "topic", "kind"), cases())
def test_poison_ends_in_its_fate_and_the_record_behind_it_goes_on(
    aftermath: Aftermath, stage: str, topic: str, kind: str
) -> None:
    records = aftermath.sent[stage, topic]
    ((place, poison),) = [(place, one) for place, one in enumerate(records) if one.kind == kind]
    wanted = PSEUDO_MASKS[kind] if stage == "trainer" else IMAGES[kind][STAGES.index(stage) // 2]
    assert aftermath.fate(stage, topic, poison) == wanted
    assert aftermath.fate(stage, topic, records[place + 1]) == "done"
    if stage == "inference":
        assert aftermath.judged.get(poison.capture) == IMAGES[kind][2]
        assert aftermath.judged[records[place + 1].capture] in {"pass", "reject"}


@pytest.mark.kafka
@pytest.mark.slow
def test_a_crash_ends_the_process_three_times_and_is_then_buried(aftermath: Aftermath) -> None:
    # one record of the work topic and one of the retry topic; now and then one falls before the other is found
    assert all(6 <= falls <= 9 for falls in aftermath.falls.values()), aftermath.falls


@pytest.mark.kafka
@pytest.mark.slow
def test_a_letter_whose_image_came_back_is_done_when_it_is_sent_again(aftermath: Aftermath) -> None:
    assert aftermath.mended in aftermath.drawn


@pytest.mark.kafka
@pytest.mark.slow
def test_the_command_lists_what_was_buried(aftermath: Aftermath) -> None:
    buried = [(topic, kind) for (stage, topic, _), kind in aftermath.letters.items() if stage == "trainer"]
    assert sorted((one["place"]["topic"], one["kind"]) for one in aftermath.listed) == sorted(buried)
    assert {one["line"] for one in aftermath.listed} == {"line-1"}
