"""A crash at every step, and what the next process makes of it: nothing lost, order kept, the culprit buried."""

import asyncio
from collections.abc import Iterable, Sequence
from itertools import count

import pytest
from aiokafka.partitioner import murmur2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from siad.contracts.codec import decode
from siad.contracts.errors import PoisonError
from siad.contracts.events import DeadLetter
from siad.runtime.bus.memory import MemoryProducer
from siad.runtime.bus.port import Message, Record
from siad.runtime.clock import SYSTEM_CLOCK
from siad.runtime.consumer.crash_marker import CLEAN, CrashMarker
from siad.runtime.testing.diary import ProcessKilled
from siad.runtime.testing.world import IN, OUT, World, away, make_world, text_of


@pytest.fixture
async def world() -> World:
    return await make_world()


def firsts(texts: Iterable[str]) -> list[str]:
    """Each text once, in the order of their first appearance."""
    return list(dict.fromkeys(texts))


def assert_nothing_lost(world: World) -> None:
    """Every record was answered or buried, and first answers stand in the order of their records, by partition."""
    buried = {(letter.partition, letter.offset) for letter in map(letter_of, world.dead_letters())}
    for topic_partition in world.bus.topic_partitions([IN.name]):
        wanted = [
            text_of(r).upper()
            for r in world.bus.log(topic_partition)
            if (topic_partition.partition, r.offset) not in buried
        ]
        answers = [text_of(r) for r in world.bus.log(topic_partition._replace(topic=OUT.name))]
        assert [answer for answer in firsts(answers) if answer in wanted] == wanted


def letter_of(record: object) -> DeadLetter:
    return decode(DeadLetter, record.value)  # type: ignore[attr-defined]


async def run_to_the_end(world: World, *, restarts_max: int = 60) -> int:
    """Restart after every death, as a supervisor does; how many deaths there were."""
    for deaths in range(restarts_max):
        try:
            await world.run()
        except (ZeroDivisionError, ProcessKilled):
            continue
        return deaths
    msg = f"not done after {restarts_max} restarts"
    raise AssertionError(msg)


@pytest.mark.parametrize("in_flight", [1, 2, 8])
@pytest.mark.parametrize("poisoned", [False, True])
async def test_a_crash_at_any_moment_loses_nothing(in_flight: int, poisoned: bool) -> None:
    for moment in count():
        world = await make_world()
        world.limit(max_in_flight=in_flight)
        await world.send("a", "b", "c")
        if poisoned:
            world.troubles = {"b": [PoisonError("torn")] * 9}
        try:
            await world.run(die_at=moment)
        except ProcessKilled:
            await world.run()
            assert_nothing_lost(world)
            assert world.committed()[0] == 3
        else:
            assert moment >= 12  # the whole diary was gone through
            break


async def test_dying_twice_at_any_two_moments_loses_nothing() -> None:
    for first in range(1, 16, 4):
        for second in range(first % 3, 16, 3):
            world = await make_world()
            world.limit(max_in_flight=2)
            await world.send("a", "b", "c")
            for moment in (first, second):
                try:
                    await world.run(die_at=moment)
                except ProcessKilled:
                    continue
            if not world.is_done():
                await world.run()
            assert_nothing_lost(world)


async def test_no_commit_says_more_than_was_published(world: World) -> None:
    world.limit(max_in_flight=4)
    world.yields = {"a": 5, "c": 2}
    await world.send(*"abcdefgh")
    published = 0
    for line in await world.run():
        what, *rest = line.split()
        if what == "publish":
            published += len(rest)
        elif what == "commit":
            assert int(rest[0].removeprefix("0:")) <= published


async def test_after_a_crash_records_go_one_at_a_time_until_past_it(world: World) -> None:
    world.limit(max_in_flight=2)
    world.troubles = {"b": [ZeroDivisionError()]}
    await world.send("a", "b", "c", "d", "e")
    with pytest.raises(ZeroDivisionError):
        await world.run()
    assert world.committed() == (0, "careful-until=2 strikes=1")
    lines = [line for line in await world.run() if not line.startswith("commit")]
    assert lines[:4] == ["handle a", "publish A", "handle b", "publish B"]
    later = lines[4:]
    assert later.index("handle d") < later.index("publish C D")  # past it: side by side again
    assert world.committed() == (5, "")


@pytest.mark.parametrize("in_flight", [1, 4])
async def test_a_message_that_ends_the_process_three_times_running_is_buried(in_flight: int) -> None:
    world = await make_world()
    world.limit(max_in_flight=in_flight)
    world.troubles = {"a": [ZeroDivisionError()] * 9}
    await world.send("a", "b", "c")
    assert await run_to_the_end(world) == 3
    assert world.answers() == ["B", "C"]
    (letter,) = map(letter_of, world.dead_letters())
    assert (letter.kind, letter.offset, letter.payload) == ("crash", 0, b"a")
    assert "ended 3 times in a row" in letter.reason
    assert world.committed()[0] == 3


async def test_a_culprit_behind_innocents_is_found(world: World) -> None:
    world.limit(max_in_flight=8)
    world.troubles = {"d": [ZeroDivisionError()] * 9}
    await world.send(*"abcdefg")
    assert await run_to_the_end(world) == 4  # the first time the culprit was unknown
    assert firsts(world.answers()) == ["A", "B", "C", "E", "F", "G"]
    assert [letter_of(record).payload for record in world.dead_letters()] == [b"d"]


async def test_a_culprit_is_not_mistaken_for_a_slow_one_in_another_partition() -> None:
    world = await make_world(partitions=2)
    world.limit(max_in_flight=4)
    world.troubles = {"killer": [ZeroDivisionError()] * 9}
    world.yields = {"slow": 50}
    await world.send("slow", key="a")
    await world.send("killer", key="d")
    assert await run_to_the_end(world) == 3
    assert world.answers() == ["SLOW"]
    assert [letter_of(record).payload for record in world.dead_letters()] == [b"killer"]


async def test_a_suspect_goes_when_nothing_else_goes() -> None:
    world = await make_world(partitions=2)
    world.limit(max_in_flight=4)
    world.troubles = {"x": [ZeroDivisionError()]}
    await world.send("x", key="a")
    with pytest.raises(ZeroDivisionError):
        await world.run()
    running: set[str] = set()
    beside: dict[str, set[str]] = {}

    async def handle(record: Record) -> Sequence[Message]:
        running.add(text_of(record))
        for _ in range(20):
            beside[text_of(record)] = beside.get(text_of(record), set()) | running
            await asyncio.sleep(0.0005)
        running.discard(text_of(record))
        return []

    await world.send("x2", key="a")
    await world.send("a", "b", "c", "e", "f", "g", key="d")
    await world.run(handle)
    assert beside["x"] == {"x"}
    assert beside["x2"] == {"x2"}
    assert len(beside["b"]) > 1


async def test_an_idle_partition_under_suspicion_slows_down_no_other() -> None:
    world = await make_world(partitions=2)
    world.limit(max_in_flight=4)
    world.troubles = {"x": [ZeroDivisionError()]}
    await world.send("x", key="a")
    with pytest.raises(ZeroDivisionError):
        await world.run()
    await world.send("a", "b", "c", key="d")
    world.yields = dict.fromkeys("abc", 5)
    lines = [line for line in await world.run() if not line.startswith("commit")]
    assert "publish A B C" in lines
    assert abs(lines.index("handle a") - lines.index("handle c")) == 2  # x came before or after them, alone


async def test_two_deaths_are_forgiven(world: World) -> None:
    world.troubles = {"a": [ZeroDivisionError(), ZeroDivisionError()]}
    await world.send("a", "b")
    assert await run_to_the_end(world) == 2
    assert world.answers() == ["A", "B"]


async def test_waiting_for_the_store_is_not_dying(world: World) -> None:
    """ProcessKilled again and again while the store is away: the message is good, and stays."""
    await world.send("a", "b")
    for _ in range(4):
        world.troubles = {"a": away(10_000)}
        clock_sleeps = 0

        async def die_waiting(seconds: float) -> None:
            nonlocal clock_sleeps
            clock_sleeps += 1
            world.clock.advance(seconds)
            await asyncio.sleep(0.002)
            if clock_sleeps > 3:
                world.diary.is_dead = True

        world.clock.sleep = die_waiting  # type: ignore[method-assign]
        with pytest.raises(ProcessKilled):
            await world.run()
    world.troubles = {}
    await world.run()
    assert world.answers() == ["A", "B"]
    assert world.dead_letters() == []


async def test_a_graceful_stop_marks_no_record(world: World) -> None:
    world.limit(drain_s=0.01)
    await world.send("a", "b")
    for _ in range(4):
        stop = asyncio.Event()
        world.yields = {"a": 10**9}
        asyncio.get_running_loop().call_later(0.01, stop.set)
        await world.run(stop=stop, done=lambda: False)
        assert world.committed() == (0, "")
    world.yields = {}
    await world.run()
    assert world.answers() == ["A", "B"]


def test_a_note_is_read_as_it_was_written() -> None:
    note = CrashMarker(isolated_until=40, crash_count=2)
    assert str(note) == "careful-until=40 strikes=2"
    assert CrashMarker.parse(str(note)) == note
    assert str(CLEAN) == ""


@pytest.mark.parametrize("text", ["", "strikes=2", "careful-until=x strikes=y", "foreign metadata"])
def test_a_note_that_is_not_ours_is_as_good_as_none(text: str) -> None:
    assert CrashMarker.parse(text) == CLEAN


TROUBLES: dict[str, list[BaseException]] = {
    "fine": [],
    "away": away(1),
    "away twice": away(2),
    "poison": [PoisonError("torn")] * 99,
    "bug": [ZeroDivisionError()],
}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    records=st.lists(
        st.tuples(st.sampled_from(list(TROUBLES)), st.integers(0, 6), st.sampled_from("ad")), min_size=1, max_size=9
    ),
    deaths=st.lists(st.integers(0, 30), max_size=3),
    in_flight=st.integers(1, 5),
    batch=st.sampled_from([None, None, 2, 4]),
)
def test_whatever_happens_nothing_is_lost(
    records: list[tuple[str, int, str]], deaths: list[int], in_flight: int, batch: int | None
) -> None:
    async def play() -> None:
        world = await make_world(partitions=2)
        world.limit(max_in_flight=in_flight)
        for number, (trouble, yields, key) in enumerate(records):
            text = f"t{number}"
            await world.send(text, key=key)
            world.yields[text] = yields
            world.troubles[text] = list(TROUBLES[trouble])
        route = None if batch is None else world.batches(records_max=batch)
        for moment in [*deaths, *[None] * 20]:
            try:
                await world.run(route, die_at=moment)
            except (ProcessKilled, ZeroDivisionError):
                continue
            if world.is_done():
                break
        assert world.is_done()
        answered = set(world.answers())
        buried = {letter_of(record).payload.decode().upper() for record in world.dead_letters()}
        for number, (trouble, _, _) in enumerate(records):
            text = f"T{number}"
            fate = (text in answered, text in buried)
            if trouble == "poison":
                assert fate == (False, True)
            elif trouble == "bug" or len(deaths) > 1:
                assert any(fate)  # three deaths while it is first in line look like its own doing
            else:
                assert fate == (True, False)
        if batch is None:
            assert_nothing_lost(world)

    asyncio.run(play())


@pytest.mark.parametrize("trapped", [{0}, {1}, {0, 1}, {1, 2}, {2}])
@pytest.mark.parametrize(("commit_every_s", "publish_s"), [(0, 0), (0.02, 0), (0, 0.002)])
async def test_the_death_at_one_partition_is_laid_to_no_record_of_another(
    trapped: set[int], commit_every_s: float, publish_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    class SlowProducer(MemoryProducer):
        async def publish(self, messages: Sequence[Message]) -> None:
            await asyncio.sleep(publish_s)
            await super().publish(messages)

    monkeypatch.setattr("siad.runtime.bus.memory.MemoryProducer", SlowProducer)
    world = await make_world(partitions=3)
    world.clock = SYSTEM_CLOCK  # type: ignore[assignment]  # commits are gathered, and the process dies meanwhile
    world.limit(max_in_flight=8, commit_every_s=commit_every_s)
    keys = {murmur2(key) % 2**31 % 3: key.decode() for key in (b"k%d" % number for number in range(30))}
    for partition, key in keys.items():
        texts = ["crash", "a", "b", "crash", "c"] if partition in trapped else [*"abcde"]
        await world.send(*(f"{key} {text}" for text in texts), key=key)

    async def handle(record: Record) -> Sequence[Message]:
        if text_of(record).endswith("crash"):
            raise ZeroDivisionError
        await asyncio.sleep(0)
        return [Message(topic=OUT.name, key=record.key.decode(), value=text_of(record).upper().encode())]

    for _ in range(60):
        try:
            await world.run(handle)
        except ZeroDivisionError:
            continue
        break
    buried = [letter_of(record) for record in world.dead_letters()]
    assert {letter.payload.decode().split()[1] for letter in buried} == {"crash"}
    assert len({(letter.partition, letter.offset) for letter in buried}) == 2 * len(trapped)
    assert_nothing_lost(world)
