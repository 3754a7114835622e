"""Dead letter of one record.

It holds the record whole, with its place, the kind of failure and the reason.
"""

from datetime import datetime
from typing import Final, Literal

from siad.contracts.codec import encode
from siad.contracts.errors import PoisonError
from siad.contracts.events import DeadLetter
from siad.contracts.topics import dead_letter
from siad.runtime.bus.port import Message, Record, bytes_max

DeadLetterKind = Literal["poison", "crash", "quarantine"]

REASON_MAX: Final = 2_000  # characters
ENVELOPE_BYTES: Final = 10_240  # for place and reason beside the payload


def make_dead_letter(record: Record, error: PoisonError, *, kind: DeadLetterKind, stage: str, at: datetime) -> Message:
    """Build the dead letter of one record.

    A payload that would not fit is cut, and the reason says so. Only a foreign producer can have sent one: the bus
    accepts no event of that size.
    """
    topic = dead_letter(stage).name
    payload, reason = record.value or b"", str(error)[:REASON_MAX] or type(error).__name__
    room = bytes_max(topic) - ENVELOPE_BYTES - len(record.key)
    if len(payload) > room:
        reason = f"{reason} [payload cut from {len(payload)} to {room} bytes]"
        payload = payload[:room]
    letter = DeadLetter(
        topic=record.topic_partition.topic,
        partition=record.topic_partition.partition,
        offset=record.offset,
        key=record.key,
        payload=payload,
        kind=kind,
        reason=reason,
        buried_at=at,
    )
    return Message(topic=topic, key=record.key.decode("utf-8", "replace"), value=encode(letter), headers=record.headers)
