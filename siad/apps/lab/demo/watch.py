"""Read along with the demo: every verdict, pseudo-mask and dead letter, as they come."""

import asyncio
import uuid
from contextlib import suppress

from siad.apps.lab.demo.report import DemoObservations
from siad.contracts.codec import decode
from siad.contracts.errors import TransientError
from siad.contracts.events import Origin, PseudoMaskCreated, VerdictGiven
from siad.contracts.topics import PSEUDO_MASK, TOPICS, VERDICT
from siad.runtime.bus.port import Bus, Record

DEAD_LETTERS = tuple(topic.name for topic in TOPICS if topic.kind == "dead-letter")


async def watch(bus: Bus, seen: DemoObservations) -> None:
    """Gather until cancelled; from the beginning of every topic, under a group of its own."""
    topics = [VERDICT.name, PSEUDO_MASK.name, *DEAD_LETTERS]
    async with bus.consumer(topics, group=f"siad.demo-{uuid.uuid4().hex}", start="earliest") as consumer:
        while True:
            try:
                records = await consumer.poll(max_records=500, timeout_s=0.5)
            except TransientError:
                await asyncio.sleep(1.0)
                continue
            for record in records:
                take_in(record, seen)


def take_in(record: Record, seen: DemoObservations) -> None:
    """Note down one record."""
    topic = record.topic_partition.topic
    if topic == VERDICT.name:
        verdict = decode(VerdictGiven, record.value)
        if verdict.origin is Origin.STREAM:
            seen.verdicts.append(verdict)
    elif topic == PSEUDO_MASK.name:
        seen.pseudo_masks.append(decode(PseudoMaskCreated, record.value))
    else:
        seen.dead_letters += 1


async def wait_complete(seen: DemoObservations, *, timeout_s: float) -> bool:
    """Wait until every capture sent has its verdict and its pseudo-mask; False if the time ran out."""
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            while seen.sent.keys() - seen.judged() or seen.sent.keys() - seen.labelled():
                await asyncio.sleep(0.3)
            return True
    return False
