"""Read topics completely, from their first record to the last, without a consumer group."""

from typing import TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition

from siad.contracts.codec import Event, decode

E = TypeVar("E", bound=Event)


async def read_whole(bootstrap: str, topic: str, kind: type[E]) -> tuple[E, ...]:
    """All events of a topic, partition by partition, each in order; a missing topic has none."""
    reader = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    await reader.start()
    try:
        places = [TopicPartition(topic, number) for number in await _partitions(reader, topic)]
        if not places:
            return ()
        reader.assign(places)
        await reader.seek_to_beginning(*places)
        ends = await reader.end_offsets(places)
        found: dict[TopicPartition, list[E]] = {place: [] for place in places}
        while any([await reader.position(place) < end for place, end in ends.items()]):
            for place, records in (await reader.getmany(timeout_ms=500)).items():
                found[place] += [decode(kind, record.value) for record in records]
        return tuple(event for place in places for event in found[place])
    finally:
        await reader.stop()


async def _partitions(reader: AIOKafkaConsumer, topic: str) -> list[int]:
    await reader._client.force_metadata_update()
    return sorted(reader.partitions_for_topic(topic) or ())
