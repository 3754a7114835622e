"""THE consume loop; see ``loop.py`` for what it promises."""

from siad.runtime.consume.loop import consume
from siad.runtime.consume.retry import with_retry
from siad.runtime.consume.routes import Batch, BatchRoute, Handler, Limits, OnPoison, bind_event, event_route
from siad.runtime.consume.streaks import line_of

__all__ = [
    "Batch",
    "BatchRoute",
    "Handler",
    "Limits",
    "OnPoison",
    "bind_event",
    "consume",
    "event_route",
    "line_of",
    "with_retry",
]
