"""Retry topic of a stage: dead letters that an operator sends again.

A record of the retry topic goes to the handler of the topic it was first read from. So exactly one stage's work with
exactly one topic is repeated, and no other stage sees it. The record's own partition and offset are those of the retry
topic: objects that a handler names by partition and offset stay apart from those of the first attempt.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from siad.contracts.errors import PoisonError
from siad.contracts.events import DeadLetter
from siad.contracts.topics import retry
from siad.runtime.bus.port import Headers, Message, Record
from siad.runtime.consumer.routes import Batch, BatchRoute, Handler, as_routes

TOPIC_HEADER: Final = "siad-first-topic"  # topic of the record before it was dead-lettered for the first time
PLACE_HEADER: Final = "siad-first-place"  # its partition and offset there, for operators
LETTER_HEADER: Final = "siad-letter"  # name of the dead letter that was sent again


def with_retry(routes: Mapping[str, Handler | BatchRoute[Any]], *, stage: str) -> dict[str, Handler | BatchRoute[Any]]:
    """Add the stage's retry topic to its routes.

    One record at a time, each to the handler of its first topic.
    """
    known = as_routes(routes)

    async def handle(record: Record) -> Sequence[Message]:
        topic = first_topic(record.headers)
        if topic not in known:
            msg = (
                f"retried record names {topic!r} in its header {TOPIC_HEADER}, which {stage} does not read; it reads "
                f"{', '.join(sorted(known))}. Send it with: siad dead-letters replay"
            )
            raise PoisonError(msg)
        route, offset = known[topic], record.offset
        return await route.on_batch(
            Batch(
                topic_partition=record.topic_partition,
                first=offset,
                last=offset,
                records=(record,),
                decoded=(route.decode(record),),
            )
        )

    return {**routes, retry(stage).name: handle}


def first_topic(headers: Headers) -> str | None:
    """Return the first topic of a retried record.

    None where no header names it.
    """
    return next((value.decode("utf-8", "replace") for name, value in headers if name == TOPIC_HEADER), None)


def make_retry(letter: DeadLetter, headers: Headers, *, stage: str, name: str, payload: bytes | None = None) -> Message:
    """Build the message that sends one dead letter again.

    Args:
        letter: the dead letter.
        headers: its headers; of a letter that was retried before they name its first topic.
        stage: the stage that dead-lettered it.
        name: the letter's name, for the log.
        payload: corrected bytes; None for those of the letter.
    """
    if first_topic(headers) is None:
        place = f"{letter.partition}/{letter.offset}"
        headers = (*headers, (TOPIC_HEADER, letter.topic.encode()), (PLACE_HEADER, place.encode()))
    kept = tuple((header, value) for header, value in headers if header != LETTER_HEADER)
    return Message(
        topic=retry(stage).name,
        key=letter.key.decode("utf-8", "replace"),
        value=letter.payload if payload is None else payload,
        headers=(*kept, (LETTER_HEADER, name.encode())),
    )
