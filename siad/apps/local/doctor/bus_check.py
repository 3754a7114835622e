"""Broker and topics: presence, rights to read, times of the newest records."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from siad.apps.local.doctor.findings import Finding, fault, ok
from siad.apps.local.doctor.store_check import SKEW_FAULT_S, judge_skew
from siad.contracts.errors import BusFailedError, DeniedError, TransientError
from siad.contracts.topics import TOPICS, Topic
from siad.runtime.bus.port import Bus
from siad.runtime.clock import SYSTEM_CLOCK, Clock

CHECK: Final = "broker"
ANSWER_S: Final = 20.0  # for all topics; a broker that answers needs one second
AT_ONCE: Final = 4  # topics; each reader is a connection


@dataclass(frozen=True, slots=True)
class TopicState:
    """One topic, as its reader found it."""

    topic: Topic
    failure: str = ""  # why it can't be read; empty if it can
    is_denied: bool = False
    newest_ms: int = 0  # Unix time of the newest record; 0: none


async def check_bus(bus: Bus, address: str, lines: str, *, clock: Clock = SYSTEM_CLOCK) -> list[Finding]:
    """Examine a broker, and every topic if it answers.

    Args:
        bus: the broker, not contacted yet.
        address: its address.
        lines: names of the lines, for the effect.
        clock: of this machine.
    """
    try:
        async with asyncio.timeout(ANSWER_S):
            await bus.probe()
            gate = asyncio.Semaphore(AT_ONCE)
            states = await asyncio.gather(*(_examine(bus, topic, gate) for topic in TOPICS))
    except (TransientError, BusFailedError, OSError, TimeoutError) as error:
        reason = str(error) or f"no answer in {ANSWER_S:g} s"
        remedy = "start the broker, or restore the network to it; stages resume by themselves, nothing is sent again"
        what = "does not answer"
        if isinstance(error, DeniedError):
            remedy = "correct SIAD_BUS_*, the account or its ACLs as it says; files are read again without a restart"
            what = "refuses this client"
        effect = f"images of {lines} are refused (503), and nothing is judged or learned; images sent before wait"
        return [fault(CHECK, f"{address} {what}: {reason}", effect=effect, remedy=remedy)]
    return judge_topics(states, address, now_ms=int(clock.now().timestamp() * 1000), lines=lines)


def judge_topics(states: Sequence[TopicState], address: str, *, now_ms: int, lines: str) -> list[Finding]:
    """Report topics that can't be read, and records of the future. Pure."""
    found = [
        fault(
            "topics",
            f"{state.topic.name} can't be read: {state.failure}",
            effect=f"{', '.join(dict.fromkeys((state.topic.writer, *state.topic.readers)))} wait for it, on {lines}",
            remedy="grant Read on siad.* and on the groups siad.*"
            if state.is_denied
            else f"start {state.topic.writer}, which creates it, or create it again",
        )
        for state in states
        if state.failure
    ]
    if not found:
        found.append(ok("topics", f"all {len(states)} topics exist and can be read"))
    newest = max((state.newest_ms for state in states), default=0)
    ahead_s = (newest - now_ms) / 1000
    if newest and ahead_s > SKEW_FAULT_S:
        found.append(judge_skew("the clock of a writer on the broker", ahead_s, lines))
    return [ok(CHECK, f"{address} answers"), *found]


async def _examine(bus: Bus, topic: Topic, gate: asyncio.Semaphore) -> TopicState:
    newest_ms = 0
    async with gate:
        try:
            async with bus.tail(topic.name, last=1) as reader:
                async for records in reader.backlog():
                    newest_ms = max(newest_ms, *(record.timestamp_ms for record in records), 0)
        except TransientError as error:
            return TopicState(topic, failure=str(error), is_denied=isinstance(error, DeniedError))
    return TopicState(topic, newest_ms=newest_ms)
