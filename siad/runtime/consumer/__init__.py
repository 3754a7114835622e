"""Consumer of a stage; the module ``loop`` documents its guarantees."""

from siad.runtime.consumer.consume import consume
from siad.runtime.consumer.failure_counters import line_of
from siad.runtime.consumer.limits import Delivery, Limits
from siad.runtime.consumer.retry import with_retry
from siad.runtime.consumer.routes import Batch, BatchRoute, Handler, OnPoison, bind_event, event_route

__all__ = [
    "Batch",
    "BatchRoute",
    "Delivery",
    "Handler",
    "Limits",
    "OnPoison",
    "bind_event",
    "consume",
    "event_route",
    "line_of",
    "with_retry",
]
