"""The way back for a dead letter: a record of the stage's retry topic goes where its first topic's records go.

So an operator can have only what that stage does with that topic done again, and nothing of another stage's. The
record's own place is the retry topic's: what a handler names by places stays apart from what the first try named.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from siad.contracts.errors import PoisonError
from siad.contracts.events import DeadLetter
from siad.contracts.topics import retry
from siad.runtime.bus.port import Headers, Message, Record
from siad.runtime.consumer.routes import Batch, BatchRoute, Handler, as_routes

TOPIC_HEADER: Final = "siad-first-topic"  # where the record lay before it was buried for the first time
PLACE_HEADER: Final = "siad-first-place"  # partition and offset there: for people
LETTER_HEADER: Final = "siad-letter"  # the dead letter that was sent again


def with_retry(routes: Mapping[str, Handler | BatchRoute[Any]], *, stage: str) -> dict[str, Handler | BatchRoute[Any]]:
    """The same routes, and the stage's retry topic: one record at a time, each to its first topic's handler."""
    known = as_routes(routes)

    async def handle(record: Record) -> Sequence[Message]:
        topic = first_topic(record.headers)
        if topic not in known:
            msg = (
                f"retried record names {topic!r} in its header {TOPIC_HEADER}, which {stage} does not read; it reads "
                f"{', '.join(sorted(known))}. Send it by: siad dead-letters replay"
            )
            raise PoisonError(msg)
        route = known[topic]
        offset, item = record.offset, route.sift(record)
        return await route.on_batch(
            Batch(topic_partition=record.topic_partition, first=offset, last=offset, records=(record,), items=(item,))
        )

    return {**routes, retry(stage).name: handle}


def first_topic(headers: Headers) -> str | None:
    """The topic that a retried record was first read from; None where nobody said."""
    return next((value.decode("utf-8", "replace") for name, value in headers if name == TOPIC_HEADER), None)


def make_retry(letter: DeadLetter, headers: Headers, *, stage: str, name: str, payload: bytes | None = None) -> Message:
    """What brings one dead letter back.

    Args:
        letter: as it was buried.
        headers: those it was buried with; of one that was retried before they say where it first lay.
        stage: whose letter it is.
        name: the letter's, for whoever reads the log.
        payload: the bytes of a mended letter; None for those that were buried.
    """
    if first_topic(headers) is None:
        topic_partition = f"{letter.partition}/{letter.offset}"
        headers = (*headers, (TOPIC_HEADER, letter.topic.encode()), (PLACE_HEADER, topic_partition.encode()))
    kept = tuple((name_, value) for name_, value in headers if name_ != LETTER_HEADER)
    return Message(
        topic=retry(stage).name,
        key=letter.key.decode("utf-8", "replace"),
        value=letter.payload if payload is None else payload,
        headers=(*kept, (LETTER_HEADER, name.encode())),
    )
