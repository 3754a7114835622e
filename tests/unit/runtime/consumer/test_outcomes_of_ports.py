"""Every row of the table of outcomes, raised at every port: what is published, committed, dead-lettered, reported."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from prometheus_client import REGISTRY

from siad.contracts.errors import DeniedError, PoisonError, TransientError
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.bus.port import Message, Record
from siad.runtime.consumer import Batch, BatchRoute
from siad.runtime.outcomes import RULES, WAITING, BreakerOpenError, Outcome, Rule, SplitBatchError, report_of
from siad.runtime.testing.diary import Faults, ProcessKilled, raise_fault
from siad.runtime.testing.waiting import until
from siad.runtime.testing.world import IN, OUT, STAGE, World, away, make_world, text_of

ATTEMPTS = 4  # that fail: more than a record may crash the process
HANDLER_PORTS = ("blobs.get", "blobs.put", "blobs.list", "runner", "decode", "handler", "on_poison")
BUS_PORTS = ("publish", "commit", "committed", "poll", "lag")
# Signals of the consumer's own parts, not errors of a port; the tests of batches and of the breaker walk these rows.
INTERNAL = {SplitBatchError, BreakerOpenError}
ROWS = [rule for rule in RULES if rule.error not in INTERNAL and rule.outcome is not Outcome.STOP]


@dataclass
class Stage:
    """A handler that uses a store and a model; each of its ports raises the errors planted for it."""

    world: World
    faults: Faults
    blobs: MemoryBlobs = field(default_factory=MemoryBlobs)

    def decode(self, record: Record) -> str:
        if text_of(record) == "a":
            raise_fault(self.faults, "decode")
        return text_of(record)

    async def on_batch(self, batch: Batch[str]) -> Sequence[Message]:
        (text,), (record,) = batch.decoded, batch.records
        self.world.diary.write(f"handle {text}")
        if text == "a":
            for port in ("handler", "blobs.get", "runner", "blobs.list"):
                raise_fault(self.faults, port)
        if text == "a" and "on_poison" in self.faults:
            msg = "no image"
            raise PoisonError(msg)
        if text == "a":
            raise_fault(self.faults, "blobs.put")
        return [Message(topic=OUT.name, key=record.key.decode(), value=text.upper().encode())]

    async def on_poison(self, record: Record, error: PoisonError) -> Sequence[Message]:
        raise_fault(self.faults, "on_poison")
        return [Message(topic=OUT.name, key="k", value=f"UNKNOWN {text_of(record)}".encode())]

    def route(self) -> BatchRoute[str]:
        return BatchRoute(decode=self.decode, on_batch=self.on_batch, records_max=1, wait_s=0.0)


def failures_of(rule: Rule, count: int = ATTEMPTS) -> list[BaseException]:
    kind = ZeroDivisionError if rule.error is BaseException else rule.error
    return [kind("planted") for _ in range(count)]


def counted(fate: str) -> float:
    labels = {"stage": STAGE, "topic": IN.name, "fate": fate}
    return REGISTRY.get_sample_value("siad_records_failed_total", labels) or 0.0


async def run_until_done(world: World, route: BatchRoute[str]) -> int:
    """Restart the process as its supervisor does; return how often it ended early."""
    for ends in range(20):
        try:
            await world.run(route)
        except Exception as error:
            if str(error) != "planted":
                raise
        else:
            return ends
    msg = "not done after 20 restarts"
    raise AssertionError(msg)


@pytest.mark.parametrize("port", HANDLER_PORTS)
@pytest.mark.parametrize("rule", ROWS, ids=lambda rule: rule.error.__name__)
async def test_an_error_raised_while_a_record_is_handled(rule: Rule, port: str) -> None:
    world = await make_world()
    stage = Stage(world, {port: failures_of(rule)})
    world.on_poison = stage.on_poison
    await world.send("a", "b")
    before = counted(rule.fate)
    ends = await run_until_done(world, stage.route())
    assert world.committed() == (2, "")  # whatever happened, no record is left behind or skipped
    answered = "UNKNOWN a" if port == "on_poison" else "A"
    if rule.outcome in WAITING:
        assert (ends, world.answers()) == (0, [answered, "B"])
        assert [kind for kind, _ in world.letters()] == (["poison"] if port == "on_poison" else [])
        assert counted(rule.fate) == before + ATTEMPTS
    elif rule.outcome is Outcome.DEAD_LETTER and port == "on_poison":
        assert (ends, world.answers(), world.letters()) == (0, ["B"], [("poison", "a")])  # no answer beside it
    elif rule.outcome is Outcome.DEAD_LETTER:
        assert (ends, world.answers(), world.letters()) == (0, ["UNKNOWN a", "B"], [("poison", "a")])
        assert counted("poison") == before + 1
    elif rule.outcome is Outcome.RESTART:
        assert (ends, world.answers()) == (ATTEMPTS, [answered, "B"])
        assert ("crash", "a") not in world.letters()
    else:
        assert rule.outcome is Outcome.CRASH
        assert ends == (ATTEMPTS if port == "on_poison" else world.limits.crashes_max)
        assert world.letters() == [("crash", "a")]
        assert world.answers()[-1] == "B"


@pytest.mark.parametrize("port", BUS_PORTS)
@pytest.mark.parametrize("rule", ROWS, ids=lambda rule: rule.error.__name__)
async def test_an_error_raised_by_the_bus(rule: Rule, port: str) -> None:
    """It is repeated, or it ends the process; no record is dead-lettered for it, however often it happens."""
    world = await make_world()
    stage = Stage(world, {})
    world.faults, world.round_s = {port: failures_of(rule)}, 1.0
    await world.send("a", "b")
    ends = await run_until_done(world, stage.route())
    assert (world.letters(), world.committed()) == ([], (2, ""))
    assert list(dict.fromkeys(world.answers())) == ["A", "B"]
    assert bool(ends) == (rule.outcome not in WAITING)
    assert world.health.paused() == {}


@pytest.mark.parametrize("port", [*HANDLER_PORTS[:-1], *BUS_PORTS[:4]])
@pytest.mark.parametrize("rule", ROWS, ids=lambda rule: rule.error.__name__)
async def test_readiness_names_what_an_operator_must_clear(rule: Rule, port: str) -> None:
    if rule.outcome not in WAITING:
        return
    world = await make_world()
    faults: Faults = {port: failures_of(rule, 10_000)}
    stage, world.faults, world.round_s = Stage(world, faults), faults, 1.0
    await world.send("a", "b")
    reason = "broker" if port in BUS_PORTS and rule.outcome is Outcome.RETRY else rule.fate
    async with world.running(stage.route()):
        await until(lambda: reason in world.health.paused().values())
        reports = await world.health.readiness_failures()
        assert set(reports.values()) == ({report_of(rule.error("planted"))} if rule.outcome is Outcome.PAUSE else set())
        assert world.health.liveness_failure() is None
        faults.clear()
        await until(world.is_done)
        assert (await world.health.readiness_failures(), world.health.paused()) == ({}, {})
    assert (world.letters(), world.answers()) == ([], ["A", "B"])


async def test_denied_access_dead_letters_nothing_however_often_the_process_is_killed() -> None:
    """A store denies access for days while processes are killed and restarted; later every record is handled."""
    world = await make_world()
    stage = Stage(world, {"blobs.get": failures_of(RULES[2], 10_000)})
    assert RULES[2].error is DeniedError
    world.limit(max_in_flight=4, poison_max=3)
    for number in range(8):
        await world.send(f"{'a' if number == 0 else number}", key=f"cell-{number % 3}/0")

    async def sleep_until_killed(seconds: float) -> None:
        world.clock.advance(seconds)
        world.clock.slept.append(seconds)
        await world.rounds(1)
        world.diary.is_dead = len(world.clock.slept) % 4 == 0

    world.clock.sleep = sleep_until_killed  # type: ignore[method-assign]
    for _ in range(12):
        with pytest.raises(ProcessKilled):
            await world.run(stage.route())
    assert (world.letters(), world.committed()[0]) == ([], 0)
    assert "strikes=1" in world.committed()[1]  # of the first kill alone; waiting adds none
    stage.faults.clear()
    await world.run(stage.route())
    assert world.letters() == []
    assert sorted(set(world.answers())) == sorted(["A", *map(str, range(1, 8))])


async def test_a_trial_of_the_quarantine_that_was_denied_is_not_used_up() -> None:
    world = await make_world()
    world.limit(poison_max=2)
    world.troubles = {
        "bad 1": [PoisonError("torn")],
        "bad 2": [PoisonError("torn")],
        "c": [DeniedError("AccessDenied"), *away(1)],
    }
    await world.send("bad 1", "bad 2", key="cell-1/0")
    async with world.running():
        await until(lambda: world.committed()[0] == 2)
        world.clock.advance(60.0)
        await world.send("c", key="cell-1/0")
        await until(lambda: world.answers() == ["C"])
    assert [text for _, text in world.letters()] == ["bad 1", "bad 2"]


async def test_poison_whose_answer_fails_for_a_while_counts_once() -> None:
    """The stage's answer beside a dead letter needs its ports, too: a failure there is no second poison."""
    world = await make_world()
    world.limit(poison_max=3)
    failures = away(5)

    async def answer(record: Record, error: PoisonError) -> Sequence[Message]:
        if failures:
            raise failures.pop()
        return []

    world.on_poison = answer
    world.troubles = {"bad": [PoisonError("torn")] * 9}
    await world.send("bad", "c", key="cell-1/0")
    await world.run()
    assert (world.letters(), world.answers()) == ([("poison", "bad")], ["C"])


async def test_a_bug_in_decoding_is_found_like_one_in_the_handler() -> None:
    """Decoding happens under the crash marker: outside of it the process would end for ever on the same record."""
    world = await make_world()

    def decode(record: Record) -> str:
        if text_of(record) == "b":
            raise ZeroDivisionError("planted")
        return text_of(record)

    route = BatchRoute(decode=decode, on_batch=world.on_batch, records_max=4, wait_s=0.0)
    await world.send("a", "b", "c")
    assert await run_until_done(world, route) == 4  # the first time every record of the batch is suspect
    assert (world.letters(), world.answers()) == ([("crash", "b")], ["A", "C"])


async def test_a_store_that_is_unavailable_is_no_reason_to_be_unready_by_itself() -> None:
    world = await make_world()
    world.troubles = {"a": [TransientError("timeout")] * 10_000}
    await world.send("a")
    async with world.running():
        await until(lambda: world.health.paused() != {})
        assert await world.health.readiness_failures() == {}
        world.troubles.clear()
        await until(world.is_done)
