"""Consumer of every stage: joins the group and runs the loop.

It stops gracefully, or at once after a bug.
"""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

from siad.runtime import metrics
from siad.runtime.bus.port import Bus
from siad.runtime.consumer.assignment import Assignment
from siad.runtime.consumer.breaker import PoisonBreaker
from siad.runtime.consumer.committer import Committer
from siad.runtime.consumer.handling import RecordHandling
from siad.runtime.consumer.limits import Limits
from siad.runtime.consumer.loop import Loop, LoopParts
from siad.runtime.consumer.pauses import Pauses
from siad.runtime.consumer.publishing import AtLeastOnce, ExactlyOnce, Publishing
from siad.runtime.consumer.routes import BatchRoute, Handler, OnPoison, as_routes
from siad.runtime.consumer.scheduler import Scheduler
from siad.runtime.context import StageContext


async def consume(
    bus: Bus,
    routes: Mapping[str, Handler | BatchRoute[Any]],
    context: StageContext,
    *,
    limits: Limits | None = None,
    on_poison: OnPoison | None = None,
) -> None:
    """Consume the topics of ``routes`` until the stage stops.

    The process is a member of group ``siad.<stage>``. At the end it drains and commits.

    Args:
        bus: the broker; a group without commits begins at the earliest record.
        routes: handler or batch route, by topic.
        context: stage, health, stop and clock.
        limits: when to wait, pause and give up.
        on_poison: returns what to publish beside a dead letter (a line may wait for an answer).

    Raises:
        Exception: an error that ends the process by the table in ``siad.runtime.outcomes``, as it was raised.
    """
    limits, single_routes = limits or Limits(), as_routes(routes)
    assignment, group = Assignment(single_routes, limits), f"siad.{context.stage}"
    fetch_max = max(limits.max_in_flight, *(route.records_max for route in single_routes.values()))
    async with AsyncExitStack() as stack:
        consumer = await stack.enter_async_context(
            bus.consumer(
                list(routes),
                group=group,
                start="earliest",
                on_assign=assignment.on_assign,
                on_revoke=assignment.on_revoke,
            )
        )
        pauses, breaker = Pauses(context, limits), PoisonBreaker(context, limits)
        committer = Committer(consumer, context, limits, pauses)
        publishing: Publishing
        if limits.delivery == "exactly-once":
            transactions = await stack.enter_async_context(bus.transactions(group))
            publishing = ExactlyOnce(transactions, consumer, committer)
        else:
            publishing = AtLeastOnce(await stack.enter_async_context(bus.producer()), consumer)
        parts = LoopParts(
            consumer=consumer,
            publishing=publishing,
            probe=bus.probe,
            assignment=assignment,
            breaker=breaker,
            pauses=pauses,
            committer=committer,
            scheduler=Scheduler(limits, breaker, assignment.partitions),
            handling=RecordHandling(context, limits, breaker, on_poison),
            fetch_max=fetch_max,
        )
        await _run_loop(parts, context, limits)


async def _run_loop(parts: LoopParts, context: StageContext, limits: Limits) -> None:
    """Run the loop in a task group of its own.

    Raise the first error of any task.
    """
    failure: BaseException | None = None
    try:
        async with asyncio.TaskGroup() as group:
            loop = Loop(parts, context, limits, group)
            await loop.run()
    except BaseExceptionGroup as failures:
        failure = failures.exceptions[0]
        if not loop.blames_record:
            await parts.committer.withdraw_markers(parts.assignment.partitions.values())
    finally:
        parts.committer.is_open = False
        metrics.IN_FLIGHT.labels(context.stage).set(0)
        parts.breaker.shut_down()
    if failure is not None:
        raise failure
