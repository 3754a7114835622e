"""The loop's diaries: what happened, in order."""

import asyncio
from collections.abc import Sequence

import pytest
from prometheus_client import REGISTRY

from siad.contracts.codec import decode
from siad.contracts.errors import PoisonError, TransientError
from siad.contracts.events import DeadLetter
from siad.runtime import trace
from siad.runtime.backoff import Backoff
from siad.runtime.bus.memory import MemoryConsumer, MemoryProducer
from siad.runtime.bus.port import Message, Record, TopicPartition
from siad.runtime.testing.clock import FakeClock
from siad.runtime.testing.waiting import until
from siad.runtime.testing.world import IN, OUT, World, away, make_world, text_of


@pytest.fixture
async def world() -> World:
    return await make_world()


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, {"stage": "inference", "topic": IN.name, **labels}) or 0.0


async def test_commits_only_after_publishing(world: World) -> None:
    await world.send("a", "b")
    assert await world.run() == [
        "commit 0:0",  # says who to look at first, should the process die
        "handle a",
        "publish A",
        "handle b",  # commits delay no handler
        "commit 0:1",
        "publish B",
        "commit 0:2",
        "commit 0:2",  # takes that back
    ]
    assert world.committed() == (2, "")


async def test_nothing_is_committed_before_the_broker_has_acknowledged(world: World) -> None:
    acknowledged = asyncio.Event()

    class SlowProducer(MemoryProducer):
        async def publish(self, messages: Sequence[Message]) -> None:
            await super().publish(messages)
            await acknowledged.wait()

    world.limit(max_in_flight=2)
    await world.send("a", "b")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("siad.runtime.bus.memory.MemoryProducer", SlowProducer)
        running = asyncio.create_task(world.run())
        await until(lambda: "publish A" in " ".join(world.diary.lines))
        await world.rounds()
        assert world.committed()[0] == 0
        acknowledged.set()
        await running
    assert world.committed()[0] == 2


async def test_publishes_in_offset_order_of_any_finish(world: World) -> None:
    world.limit(max_in_flight=3)
    world.yields = {"a": 9, "b": 3}
    await world.send("a", "b", "c", "d")
    lines = await world.run()
    assert lines[1:4] == ["handle a", "handle b", "handle c"]
    assert world.answers() == ["A", "B", "C", "D"]
    assert lines.index("publish A B C") < lines.index("handle d")  # it had to wait for room in the lane


async def test_no_more_handlers_run_than_the_bound_allows(world: World) -> None:
    world.limit(max_in_flight=3)
    running, most = 0, 0

    async def handle(record: Record) -> Sequence[Message]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(5):
            await asyncio.sleep(0)
        running -= 1
        return []

    await world.send(*"abcdefghij")
    await world.run(handle)
    assert most == 3


async def test_what_is_away_is_tried_again_and_nothing_is_skipped(world: World) -> None:
    world.troubles = {"a": away(5)}
    await world.send("a", "b")
    lines = await world.run()
    assert [line for line in lines if not line.startswith("commit")] == [
        *["handle a"] * 6,
        "publish A",
        "handle b",
        "publish B",
    ]
    assert world.clock.slept == [0.1, 0.5, 2.0, 8.0, 8.0]


async def test_after_a_failure_one_at_a_time_feels_out_the_way(world: World) -> None:
    world.limit(max_in_flight=2)
    world.troubles = {"a": away(2), "b": away(1)}
    world.yields = {"b": 1}
    await world.send("a", "b", "c")
    lines = [line for line in await world.run() if line.startswith("handle")]
    assert lines[:2] == ["handle a", "handle b"]
    assert lines[2:4] == ["handle a", "handle a"]  # b waits until a gets through
    assert world.answers() == ["A", "B", "C"]


async def test_polls_on_while_a_partition_backs_off(world: World) -> None:
    polls: list[frozenset[TopicPartition]] = []

    class SlowClock(FakeClock):
        async def sleep(self, seconds: float) -> None:
            before = len(polls)
            await asyncio.sleep(0.05)
            self.advance(seconds)
            assert len(polls) - before >= 3
            assert polls[-1] == {TopicPartition(IN.name, 0)}

    class Watched(MemoryConsumer):
        async def poll(self, *, max_records: int, timeout_s: float) -> list[Record]:
            polls.append(frozenset(self._paused))
            return await super().poll(max_records=max_records, timeout_s=timeout_s)

    world.clock = SlowClock()
    world.limit(max_in_flight=4)  # there is room: it is the trouble that pauses
    world.troubles = {"a": away(1)}
    await world.send("a", "b")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("siad.runtime.bus.memory.MemoryConsumer", Watched)
        await world.run()
    assert world.answers() == ["A", "B"]
    assert world.health.paused() == {}


async def test_poison_is_buried_with_its_place_and_reason_and_then_committed(world: World) -> None:
    world.troubles = {"b": [PoisonError("3 bytes are not an ImageStored")]}
    before = counted("siad_records_failed_total", fate="poison")
    await world.send("a", "b", "c", key="line/1")
    lines = await world.run()
    first = lines.index("handle b")
    assert first < lines.index("publish dead-letter(line/1)") < lines.index("commit 0:2")
    assert world.answers() == ["A", "C"]
    (record,) = world.dead_letters()
    letter = decode(DeadLetter, record.value)
    assert (letter.topic, letter.partition, letter.offset, letter.kind) == (IN.name, 0, 1, "poison")
    assert (letter.key, letter.payload, letter.reason) == (b"line/1", b"b", "3 bytes are not an ImageStored")
    assert letter.buried_at == world.clock.now()
    assert counted("siad_records_failed_total", fate="poison") == before + 1


async def test_a_stage_may_answer_for_poison(world: World) -> None:
    async def answer(record: Record, error: PoisonError) -> Sequence[Message]:
        return [Message(topic=OUT.name, key="k", value=f"UNKNOWN {text_of(record)}: {error}".encode())]

    world.on_poison = answer
    world.troubles = {"a": [PoisonError("torn")]}
    await world.send("a")
    assert "publish UNKNOWN a: torn dead-letter(k)" in await world.run()


async def test_a_message_of_full_size_fits_a_dead_letter(world: World) -> None:
    text = "b" * 65_536
    world.troubles = {text: [PoisonError("too much")]}
    await world.send(text)
    await world.run()
    assert decode(DeadLetter, world.dead_letters()[0].value).payload == text.encode()


async def test_a_bug_ends_the_process_before_the_commit(world: World) -> None:
    world.troubles = {"b": [ZeroDivisionError()]}
    await world.send("a", "b", "c")
    with pytest.raises(ZeroDivisionError):
        await world.run()
    assert world.diary.lines[-2:] == ["handle b", "commit 0:1"]
    assert world.answers() == ["A"]


async def test_a_bug_ends_handlers_beside_it(world: World) -> None:
    world.limit(max_in_flight=2)
    world.yields = {"a": 10_000}
    world.troubles = {"b": [ZeroDivisionError()]}
    await world.send("a", "b")
    with pytest.raises(ZeroDivisionError):
        await world.run()
    assert world.answers() == []
    assert world.committed()[0] == 0


async def test_a_handler_that_takes_too_long_is_tried_again(world: World) -> None:
    world.limit(handler_timeout_s=0.01)
    world.yields = {"a": 1_000_000}
    calls = 0

    async def handle(record: Record) -> Sequence[Message]:
        nonlocal calls
        calls += 1
        if calls == 1:
            await asyncio.sleep(1)
        return []

    await world.send("a")
    await world.run(handle)
    assert calls == 2


async def test_a_cancelled_task_that_a_handler_waits_for_is_no_reason_to_stop(world: World) -> None:
    calls = 0

    async def handle(record: Record) -> Sequence[Message]:
        nonlocal calls
        calls += 1
        if calls == 1:
            waited_for = asyncio.create_task(asyncio.sleep(3600))
            waited_for.cancel()
            await waited_for
        return await world.handle(record)

    await world.send("a")
    await world.run(handle)
    assert (calls, world.answers()) == (2, ["A"])


async def test_a_broker_that_goes_away_is_waited_for(world: World) -> None:
    world.limit(backoff=Backoff(schedule_s=(0.01,), spread=0))

    async def come_back() -> None:
        while not world.clock.slept:  # a task has waited for it
            await asyncio.sleep(0.001)
        world.bus.down = False
        while True:  # time goes on, also when no task sleeps
            world.clock.advance(0.01)
            await asyncio.sleep(0.001)

    async def handle(record: Record) -> Sequence[Message]:
        if text_of(record) == "b" and not outages:
            world.bus.down = True
            outages.append(asyncio.create_task(come_back()))
        return await world.handle(record)

    outages: list[asyncio.Task[None]] = []
    await world.send("a", "b", "c")
    await world.run(handle)
    assert world.answers() == ["A", "B", "C"]
    assert not world.bus.down
    outages[0].cancel()
    assert world.health.paused() == {}


async def test_one_partition_in_trouble_holds_up_no_other() -> None:
    world = await make_world(partitions=2)
    world.limit(max_in_flight=4)
    await world.send("x", key="a")
    await world.send("y", key="d")
    assert {record.topic_partition.partition for record in world.bus.records(IN.name)} == {0, 1}
    world.troubles = {"x": away(10_000)}
    stop = asyncio.Event()
    await world.run(stop=stop, done=lambda: "Y" in world.answers())
    assert world.answers() == ["Y"]


async def test_leaves_in_good_order_with_what_is_in_hand_done(world: World) -> None:
    stop = asyncio.Event()
    world.limit(max_in_flight=2)

    async def handle(record: Record) -> Sequence[Message]:
        stop.set()
        await asyncio.sleep(0.02)
        return await world.handle(record)

    await world.send("a", "b", "c", "d")
    await world.run(handle, stop=stop)
    assert world.answers() == ["A", "B"]
    assert world.committed() == (2, "")


async def test_starts_nothing_new_while_it_leaves() -> None:
    world = await make_world(partitions=2)
    stop = asyncio.Event()
    handled: list[str] = []

    async def handle(record: Record) -> Sequence[Message]:
        handled.append(text_of(record))
        stop.set()
        await asyncio.sleep(0.02)
        return []

    await world.send("a", key="a")
    await world.send("d", key="d")
    await world.run(handle, stop=stop)
    assert len(handled) == 1


async def test_a_cancelled_loop_commits_nothing_more(world: World) -> None:
    world.limit(commit_every_s=100)
    world.yields = {"b": 10**9}
    await world.send("a", "b")
    running = asyncio.create_task(world.run())
    while world.committed()[0] < 1:  # the first commit is due at once, the next in 100 s
        await asyncio.sleep(0.001)
    lines = len(world.diary.lines)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not [line for line in world.diary.lines[lines:] if line.startswith("commit")]


async def test_leaves_without_what_takes_too_long(world: World) -> None:
    stop = asyncio.Event()
    world.limit(max_in_flight=2)

    async def handle(record: Record) -> Sequence[Message]:
        stop.set()
        if text_of(record) == "b":
            await asyncio.sleep(3)
        return await world.handle(record)

    await world.send("a", "b")
    await world.run(handle, stop=stop)
    assert world.answers() == ["A"]
    assert world.committed() == (1, "")


async def test_answers_go_on_in_the_trace_of_their_record(world: World) -> None:
    span = trace.TraceSpan.root()
    async with world.bus.producer() as producer:
        await producer.publish([Message(topic=IN.name, key="k", value=b"a", headers=trace.headers_of(span))])
    await world.run()
    ((name, value),) = world.bus.records(OUT.name)[0].headers
    answered = trace.parse(value.decode())
    assert name == "traceparent"
    assert answered is not None
    assert (answered.trace_id, answered.span_id != span.span_id) == (span.trace_id, True)


async def test_counts_what_it_does(world: World) -> None:
    names = ["siad_records_received_total", "siad_records_done_total", "siad_record_seconds_count"]
    before = [counted(name) for name in names]
    failed = counted("siad_records_failed_total", fate="transient")
    world.troubles = {"a": away(2)}
    await world.send("a", "b")
    await world.run()
    assert [counted(name) for name in names] == [count + 2 for count in before]
    assert counted("siad_records_failed_total", fate="transient") == failed + 2
    assert REGISTRY.get_sample_value("siad_records_in_flight", {"stage": "inference"}) == 0


async def test_an_answer_too_large_is_a_bug(world: World) -> None:
    async def handle(record: Record) -> Sequence[Message]:
        return [Message(topic=OUT.name, key="k", value=bytes(65_537))]

    await world.send("a")
    with pytest.raises(ValueError, match="65537 bytes"):
        await world.run(handle)


async def test_a_refused_commit_is_tried_again(world: World) -> None:
    refusals = 3
    commit = world.bus.probe

    async def probe() -> None:
        nonlocal refusals
        refusals -= 1
        if refusals >= 0:
            raise TransientError("rebalance in progress")
        await commit()

    world.bus.probe = probe  # type: ignore[method-assign]
    await world.send("a", "b")
    await world.run()
    assert world.answers() == ["A", "B"]
    assert world.committed() == (2, "")


@pytest.mark.parametrize("answers_others", [True, False])
async def test_a_consumer_that_is_stuck_is_no_excuse_where_the_broker_answers(
    world: World, answers_others: bool
) -> None:
    class Stuck(MemoryConsumer):
        async def lag(self) -> dict[TopicPartition, int]:
            raise TransientError("no answer")

        async def poll(self, *, max_records: int, timeout_s: float) -> list[Record]:
            await asyncio.sleep(timeout_s)
            return []

    async def probe() -> None:
        if not answers_others:
            raise TransientError("broker away")

    world.bus.probe = probe  # type: ignore[method-assign]
    await world.send("a")
    stop = asyncio.Event()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("siad.runtime.bus.memory.MemoryConsumer", Stuck)
        running = asyncio.create_task(world.run(stop=stop))
        await until(lambda: bool(world.health.paused() or world.health._lag))
        world.clock.advance(121)
        await world.rounds()
        assert (world.health.liveness_failure() is not None) is answers_others
        stop.set()
        await running
