"""Check and stamp of outgoing messages, for every producer.

A message published within a trace carries it, so no stage has to remember that.
"""

from collections.abc import Sequence

from siad.runtime import trace
from siad.runtime.bus.port import Message, bytes_max


def prepare(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Check the size of messages, and stamp them with the current trace.

    A message that carries a trace keeps it. Outside of a trace nothing is stamped: its reader begins a trace.

    Raises:
        ValueError: a value is over ``bytes_max`` of its topic; nothing may be sent.
    """
    for message in messages:
        size, limit = len(message.value or b""), bytes_max(message.topic)
        if size > limit:
            msg = (
                f"message for {message.topic} key {message.key!r} has {size} bytes, {limit} are allowed; "
                "nothing was sent"
            )
            raise ValueError(msg)
    span = trace.CURRENT.get()
    return tuple(messages) if span is None else tuple(trace.stamped(message, span) for message in messages)
