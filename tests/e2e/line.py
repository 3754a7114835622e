"""A camera that sends to ingest, and a reader of the loop's events."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from siad.contracts.codec import decode
from siad.contracts.errors import TransientError
from siad.contracts.events import DeadLetter, PseudoMaskCreated, VerdictGiven
from siad.contracts.topics import PSEUDO_MASK, VERDICT, dead_letter
from siad.runtime.bus.embedded.file import ConnectionOptions, open_file
from siad.runtime.bus.embedded.log import commits_of, partition_ranges
from siad.runtime.bus.port import Bus, Consumer
from siad.runtime.bus.settings import EMBEDDED, path_of
from tests.e2e.harness import wait_for
from tests.synthetic import PRODUCT, part_image, png

BURIED = tuple(dead_letter(stage).name for stage in ("labeler", "trainer", "inference"))


SETTINGS = {"product": PRODUCT, "false_reject_budget": 0.05, "labelled_share": 1.0}  # every capture has a pseudo-mask


@dataclass(slots=True)
class Camera:
    """Sends parts of one line to ingest, and repeats uploads that were not accepted."""

    ingest_url: str
    line: str
    normals: list[str] = field(default_factory=list)  # captures
    inspected: dict[str, bool] = field(default_factory=dict)  # capture -> has a defect

    async def register(self) -> None:
        """Register the line."""
        async with httpx.AsyncClient(base_url=self.ingest_url, timeout=30) as http:
            answer = await http.put(f"/v1/lines/{self.line}", json=SETTINGS)
            answer.raise_for_status()

    async def send_normals(self, count: int) -> None:
        """Send good parts with the intent normal."""
        async with httpx.AsyncClient(base_url=self.ingest_url, timeout=30) as http:
            for number in range(count):
                self.normals.append(await self._send(http, 10_000 + number, intent="normal", defect=False))

    async def send(self, count: int, *, per_s: float, has_room: Callable[[], bool]) -> None:
        """Send parts to inspect at a steady rate, one in four defective; pause while there is no room."""
        async with httpx.AsyncClient(base_url=self.ingest_url, timeout=30) as http:
            for _ in range(count):
                while not has_room():
                    await asyncio.sleep(0.05)
                number = len(self.inspected)
                defect = number % 4 == 0
                self.inspected[await self._send(http, number, intent="inspect", defect=defect)] = defect
                await asyncio.sleep(1 / per_s)

    async def _send(self, http: httpx.AsyncClient, number: int, *, intent: str, defect: bool) -> str:
        data = png(part_image(number, defect=defect))
        headers = {"Idempotency-Key": f"{intent}-{number}", "Content-Type": "image/png"}
        while True:
            answer = await http.post(
                f"/v1/lines/{self.line}/images", params={"intent": intent}, content=data, headers=headers
            )
            if answer.status_code == 202:
                return str(answer.json()["capture_id"])
            assert answer.status_code == 503, answer.text
            await asyncio.sleep(0.5)


@dataclass(slots=True)
class Watch:
    """Every event of the loop, repeats included."""

    verdicts: list[VerdictGiven] = field(default_factory=list)
    pseudo_masks: list[PseudoMaskCreated] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    arrived_s: dict[str, float] = field(default_factory=dict)  # topic -> when its newest came, monotonic

    def judged(self, line: str) -> Counter[str]:
        """Number of verdicts by capture of a line."""
        return Counter(verdict.capture_id for verdict in self.verdicts if verdict.line == line)

    def labelled(self, line: str) -> Counter[str]:
        """Number of pseudo-masks by capture of a line, repeats included."""
        return Counter(mask.capture_id for mask in self.pseudo_masks if mask.line == line)

    async def until(self, is_true: Callable[[], bool], what: str, *, timeout_s: float = 90.0) -> None:
        """Wait until a condition on the events holds."""

        async def look() -> bool:
            return is_true()

        await wait_for(look, timeout_s, what, on_fail=self.describe)

    def describe(self) -> str:
        """Summary of the events so far."""
        reasons = [letter.reason for letter in self.dead_letters[:3]]
        return f"{len(self.verdicts)} verdicts, {len(self.pseudo_masks)} pseudo-masks, dead letters: {reasons}"

    async def read(self, consumer: Consumer) -> None:
        """Read without end."""
        while True:
            try:
                records = await consumer.poll(max_records=500, timeout_s=0.2)
            except TransientError:
                continue
            for record in records:
                self.arrived_s[record.topic_partition.topic] = time.monotonic()
                if record.topic_partition.topic == VERDICT.name:
                    self.verdicts.append(decode(VerdictGiven, record.value))
                elif record.topic_partition.topic == PSEUDO_MASK.name:
                    self.pseudo_masks.append(decode(PseudoMaskCreated, record.value))
                else:
                    self.dead_letters.append(decode(DeadLetter, record.value))


@asynccontextmanager
async def watching(bus: Bus, *, group: str) -> AsyncIterator[Watch]:
    """Read verdicts, pseudo-masks and dead letters from their beginning."""
    watch = Watch()
    async with bus.consumer([VERDICT.name, PSEUDO_MASK.name, *BURIED], group=group, start="earliest") as consumer:
        reading = asyncio.create_task(watch.read(consumer))
        try:
            yield watch
        finally:
            reading.cancel()


async def lag_of(bootstrap: str, group: str, topic: str) -> int:
    """Uncommitted records of a topic, summed over partitions, from the broker."""
    if bootstrap.startswith(EMBEDDED):
        return await asyncio.to_thread(lag_in_file, path_of(bootstrap), group, topic)
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    reader = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await admin.start()
    await reader.start()
    try:
        committed = await admin.list_consumer_group_offsets(group)
        offsets = {place: meta.offset for place, meta in committed.items() if place.topic == topic}
        await reader._client.force_metadata_update()
        partitions = reader.partitions_for_topic(topic) or set()
        ends = await reader.end_offsets([TopicPartition(topic, number) for number in partitions])
        return sum(end - max(offsets.get(place, 0), 0) for place, end in ends.items())
    finally:
        await reader.stop()
        await admin.close()


def lag_in_file(path: Path, group: str, topic: str) -> int:
    """Uncommitted records of a topic, from the file of the embedded bus."""
    connection = open_file(ConnectionOptions(path, busy_s=10.0))
    commits = commits_of(connection, group)
    found = partition_ranges(connection, [topic])
    connection.close()
    return sum(span.next - (commits[place].offset if place in commits else 0) for place, span in found.items())


async def until_no_lag(bootstrap: str, group: str, topic: str, *, timeout_s: float = 60.0) -> None:
    """Wait until a group has committed everything."""
    last: list[int] = []

    async def is_done() -> bool:
        last[:] = [await lag_of(bootstrap, group, topic)]
        return last == [0]

    await wait_for(is_done, timeout_s, f"{group} to commit all of {topic}", on_fail=lambda: f"lag {last}")
