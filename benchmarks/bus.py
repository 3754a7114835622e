"""Speed of the embedded bus relative to Kafka.

Both run on this machine, in one run; figures are ratios.

    .venv/bin/python -m benchmarks.bus

One process publishes and one reads, with messages of the size of SIAD's events. Measured are messages a second in
batches, the time until a single message is acknowledged, the time until another process receives it, the time of a
commit, and that of a transaction of one message and one offset. Without Java only the embedded bus is measured.
"""

import asyncio
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from siad.apps.local.kafka.jars import why_unavailable
from siad.apps.local.kafka.node import KafkaNode
from siad.contracts.topics import Topic
from siad.runtime.bus.open import open_bus
from siad.runtime.bus.port import Bus, Commit, Message, TopicPartition
from siad.runtime.bus.settings import BusSettings

MESSAGE_BYTES = 400  # about the size of an ImageStored
BATCHES, BATCH = 200, 50
SINGLES = 300
TRANSACTIONS = 100
PAUSE_S = 0.03  # between two single messages, as a line sends them


async def main() -> None:
    """Measure both, twice and by turns, and print the better of each."""
    with tempfile.TemporaryDirectory(dir=Path.cwd() / "var") as folder:
        addresses = {"embedded": f"embedded://{folder}/bus.sqlite"}
        node = KafkaNode(Path(folder) / "kafka")
        if (reason := why_unavailable()) is None:
            node.start()
            addresses["kafka"] = node.bootstrap
        else:
            print(f"no Kafka here: {reason}", file=sys.stderr)
        try:
            rounds: dict[str, list[dict[str, float]]] = {name: [] for name in addresses}
            for number in range(2):
                for name, address in addresses.items():
                    rounds[name].append(await measure(open_bus(BusSettings(bootstrap=address)), address, number))
        finally:
            node.stop()
    best = {name: {figure: _best(figure, found) for figure in found[0]} for name, found in rounds.items()}
    if "kafka" in best:
        best["embedded / kafka"] = {
            figure: best["embedded"][figure] / best["kafka"][figure] for figure in best["kafka"]
        }
    rounded = {name: {figure: round(value, 3) for figure, value in found.items()} for name, found in best.items()}
    print(json.dumps(rounded, indent=2))


def _best(figure: str, found: list[dict[str, float]]) -> float:
    return (max if figure.endswith("_per_s") else min)(one[figure] for one in found)


async def measure(bus: Bus, address: str, number: int) -> dict[str, float]:
    """All figures of one bus."""
    many, alone = (Topic(f"{name}-{number}", "work", "ingest", ()) for name in ("many", "alone"))
    await bus.create_topics([many, alone])
    figures = await _measure_many(bus, many)
    return {**figures, **await _measure_transactions(bus, many), **await _measure_one_by_one(bus, alone, address)}


async def _measure_many(bus: Bus, topic: Topic) -> dict[str, float]:
    total = BATCHES * BATCH
    async with bus.consumer([topic.name], group="many", start="earliest") as consumer, bus.producer() as producer:
        while not consumer.assigned():
            await consumer.poll(max_records=1, timeout_s=0.1)
        batches = [[_message(topic, f"k{n % 16}") for n in range(BATCH)] for _ in range(BATCHES)]
        began_s = time.perf_counter()
        for batch in batches:
            await producer.publish(batch)
        published_s = time.perf_counter() - began_s
        began_s, read = time.perf_counter(), 0
        while read < total:
            read += len(await consumer.poll(max_records=500, timeout_s=1.0))
        read_s = time.perf_counter() - began_s
        place = min(consumer.assigned())
        commits_ms = []
        for offset in range(100):
            began_s = time.perf_counter()
            await consumer.commit({place: Commit(offset)})
            commits_ms.append(1000 * (time.perf_counter() - began_s))
    return {
        "published_per_s": total / published_s,
        "read_per_s": total / read_s,
        "commit_median_ms": statistics.median(commits_ms),
    }


async def _measure_transactions(bus: Bus, topic: Topic) -> dict[str, float]:
    """One message and one offset, both or neither."""
    source, seconds_ms = TopicPartition(topic.name, 0), []
    async with bus.transactions("transactions") as transactions:
        await transactions.open(source)
        for offset in range(TRANSACTIONS):
            began_s = time.perf_counter()
            await transactions.publish(source, [_message(topic, "k")], Commit(offset + 1))
            seconds_ms.append(1000 * (time.perf_counter() - began_s))
    return {"transaction_median_ms": statistics.median(seconds_ms)}


async def _measure_one_by_one(bus: Bus, topic: Topic, address: str) -> dict[str, float]:
    """One message at a time, to a process that waits for it."""
    reader = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.bus", "read", address, topic.name, stdout=asyncio.subprocess.PIPE
    )
    assert reader.stdout is not None
    if (answer := await reader.stdout.readline()) != b"ready\n":
        msg = f"the reading process answered {answer!r} in place of b'ready\\n'; see its error output above"
        raise RuntimeError(msg)
    acknowledged_ms = []
    async with bus.producer() as producer:
        await producer.publish([_message(topic, "first")])
        for _ in range(SINGLES):
            await asyncio.sleep(PAUSE_S)
            message = _message(topic, f"{time.time_ns()}")
            began_s = time.perf_counter()
            await producer.publish([message])
            acknowledged_ms.append(1000 * (time.perf_counter() - began_s))
        await producer.publish([_message(topic, "last")])
    latency_ms = json.loads(await reader.stdout.readline())
    busy = json.loads(await reader.stdout.readline())
    await reader.wait()
    return {
        "acknowledged_median_ms": statistics.median(acknowledged_ms),
        "to_another_process_median_ms": statistics.median(latency_ms),
        "to_another_process_p95_ms": sorted(latency_ms)[int(0.95 * len(latency_ms))],
        "reader_waiting_share_of_a_core": busy,
    }


async def read(address: str, topic: str) -> None:
    """Run the receiving process.

    It measures latency and the cost of idle polls.
    """
    late_ms: list[float] = []
    bus = open_bus(BusSettings(bootstrap=address))
    async with bus.consumer([topic], group="read", start="earliest") as consumer:
        while not consumer.assigned():
            await consumer.poll(max_records=1, timeout_s=0.1)
        print("ready", flush=True)
        is_over = False
        while not is_over:
            for record in await consumer.poll(max_records=500, timeout_s=0.5):
                is_over = record.key == b"last"
                if record.key.isdigit():
                    late_ms.append((time.time_ns() - int(record.key)) / 1e6)
        print(json.dumps(late_ms), flush=True)
        began_s, began_busy_s = time.perf_counter(), time.process_time()
        while time.perf_counter() - began_s < 3.0:
            await consumer.poll(max_records=500, timeout_s=0.5)
        print((time.process_time() - began_busy_s) / (time.perf_counter() - began_s), flush=True)


def _message(topic: Topic, key: str) -> Message:
    return Message(topic=topic.name, key=key, value=bytes(MESSAGE_BYTES))


if __name__ == "__main__":
    asyncio.run(read(*sys.argv[2:]) if sys.argv[1:2] == ["read"] else main())
