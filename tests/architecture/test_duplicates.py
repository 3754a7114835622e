"""Near-duplicate functions across the product; what counts as one is told in ``duplicates.py``."""

from itertools import combinations
from typing import Final

import pytest

from tests.architecture.duplicates import duplicates
from tests.architecture.imports import read_tree

# Pairs that stay, as "path::Class.method", each with its reason. An entry that is no longer needed fails the test.
_EMBEDDED = "siad/runtime/bus/embedded/consumer.py::"
_EMBEDDED_LOG = "siad/runtime/bus/embedded/log_reader.py::EmbeddedLogReader."
_MEMORY = "siad/runtime/bus/memory_readers.py::"
_TWO_ADAPTERS = "two adapters of one port, on different storage"
_POLLING = "each loop reads its own cursor between two waits; a shared loop would take the cursor as four callbacks"
_TWO_STAGES = "composition roots of two stages, which differ in their ports"
_KAFKA_LOG = "siad/runtime/bus/kafka/consumer.py::KafkaLogReader.__init__"
_MIGRATIONS = "services/console/adapters/projection/migrations/versions/"
_ROUTES = "services/console/routes.py::_review_routes."
ALLOWED: Final[dict[frozenset[str], str]] = {
    frozenset({_KAFKA_LOG, f"{_MEMORY}MemoryLogReader.__init__"}): _TWO_ADAPTERS,
    frozenset({_KAFKA_LOG, f"{_EMBEDDED_LOG}__init__"}): _TWO_ADAPTERS,
    frozenset(
        {f"{_ROUTES}estimates", "services/console/web/listing.py::make_listing_routes.captures"}
    ): "two questions",
    **{
        frozenset(f"{_MIGRATIONS}{name}.py::upgrade" for name in pair): "two tables"
        for pair in combinations(("v0002_leases", "v0003_sessions", "v0004_deferrals"), 2)
    },
    frozenset({f"{_EMBEDDED_LOG}__init__", f"{_MEMORY}MemoryLogReader.__init__"}): _TWO_ADAPTERS,
    frozenset({f"{_EMBEDDED}EmbeddedStateReader.snapshot", f"{_MEMORY}MemoryStateReader.snapshot"}): _TWO_ADAPTERS,
    frozenset({f"{_EMBEDDED}EmbeddedConsumer.poll", f"{_EMBEDDED}EmbeddedStateReader.changes"}): _POLLING,
    frozenset({f"{_EMBEDDED}EmbeddedConsumer.poll", f"{_EMBEDDED_LOG}changes"}): _POLLING,
    frozenset({f"{_EMBEDDED}EmbeddedStateReader.changes", f"{_EMBEDDED_LOG}changes"}): _POLLING,
    frozenset(
        {"siad/erasure/weights.py::read_record", "siad/runtime/store/thresholds.py::stored_threshold_set"}
    ): "a damaged threshold is an event of its own",
    frozenset(
        {"siad/erasure/capture.py::_receipt", "siad/runtime/store/thresholds.py::stored_threshold_set"}
    ): "a damaged threshold is an event of its own",
    frozenset({f"siad/vision/pairs.py::{name}" for name in ("_largest", "_smallest")}): "one OpenCV call each",
    frozenset({"siad/erasure/capture.py::_receipt", "siad/erasure/weights.py::read_record"}): "two documents",
    frozenset({"siad/apps/lab/evaluate/page.py::_jpeg", "siad/apps/lab/sheet.py::encode_sheet"}): "two image formats",
}

ORIGINAL = '''
class TeacherReleases:
    async def point(self, place, release):
        """Move the pointer."""
        key = teacher_pointer(place.line, place.product)
        found = await self._blobs.get(key)
        if found.revision >= release.revision:
            return found
        await self._blobs.put(key, release.to_json(), if_match=found.etag)
        await self._producer.publish([stamped(Message(topic=TEACHER, key=key, value=encode(release)), 3)])
        log.info("teacher_released", line=place.line, revision=release.revision)
        return release
'''
# another stage's copy: renamed throughout, a line lost (the trace stamp) and a line added
DRIFTED = '''
class SegmenterReleases:
    async def move(self, where, wanted):
        """Put the new revision in service."""
        name = segmenter_pointer(where.line, where.product)
        present = await self._store.get(name)
        if present.revision >= wanted.revision:
            return present
        await self._store.put(name, wanted.to_json(), if_match=present.etag)
        await self._bus.publish([Message(topic=SEGMENTER, key=name, value=encode(wanted))])
        self._count += 1
        log.info("segmenter_released", line=where.line, revision=wanted.revision)
        return wanted
'''
UNLIKE = """
def plan(lines, *, now, policy):
    due = {}
    for line in lines:
        if line.is_gone or line.fitted_at is None:
            continue
        age_s = (now - line.fitted_at).total_seconds()
        due[line.name] = max(0.0, policy.every_s - age_s)
    return [name for name, wait_s in sorted(due.items(), key=lambda item: item[1]) if wait_s < policy.soon_s]
"""
PAIR = frozenset({"a.py::TeacherReleases.point", "b.py::SegmenterReleases.move"})
COPIES_FIELDS = "def of(event):\n    return Row({})\n"


def test_the_product_has_no_near_duplicates() -> None:
    assert duplicates(read_tree(), ALLOWED) == []


def test_a_drifted_copy_is_found() -> None:
    (found,) = duplicates({"a.py": ORIGINAL, "b.py": DRIFTED, "c.py": UNLIKE})
    assert found.startswith("a.py:3 TeacherReleases.point and b.py:3 SegmenterReleases.move share ")


def test_a_copy_in_the_same_file_is_found() -> None:
    assert len(duplicates({"a.py": ORIGINAL + DRIFTED})) == 1


def test_an_allowed_pair_is_left_alone() -> None:
    assert duplicates({"a.py": ORIGINAL, "b.py": DRIFTED}, {PAIR: "two brokers"}) == []


def test_an_allowed_pair_that_is_gone_is_reported() -> None:
    (found,) = duplicates({"a.py": ORIGINAL, "b.py": UNLIKE}, {PAIR: "two brokers"})
    assert "remove the entry" in found


@pytest.mark.parametrize("fields", [5, 30])
def test_constructors_that_copy_fields_are_no_duplicates(fields: int) -> None:
    copied = COPIES_FIELDS.format(", ".join(f"field_{at}=event.field_{at}" for at in range(fields)))
    assert duplicates({"a.py": copied, "b.py": copied}) == []


def test_a_function_and_the_one_inside_it_are_no_pair() -> None:
    inner = "\n".join(f"    {line}" for line in UNLIKE.strip().splitlines())
    assert duplicates({"a.py": f"def outer():\n{inner}\n    return plan\n"}) == []
