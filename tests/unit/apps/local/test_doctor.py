"""Examination of a plant on fakes: each fault is named with its effect and a remedy."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from siad.apps.local.data_folder import FREE_BYTES_MIN, STARTED_FILE, describe_start, locked
from siad.apps.local.doctor.bus_check import check_bus
from siad.apps.local.doctor.examine import check_start, examine
from siad.apps.local.doctor.findings import Finding, FindingStatus, describe_lines, has_fault
from siad.apps.local.doctor.machine_check import check_disks, check_ray
from siad.apps.local.doctor.settings_check import check_environment
from siad.apps.local.doctor.stage_check import check_stages
from siad.apps.local.doctor.store_check import check_store
from siad.apps.local.doctor.weights_check import check_weights, compare_with_served, read_pointers
from siad.contracts.errors import DeniedError, TransientError
from siad.contracts.ids import sha256_hex
from siad.contracts.keys import part_key, weights_pointer_key
from siad.contracts.manifest import BundlePart
from siad.contracts.pointer import Pointer
from siad.contracts.topics import TOPICS
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.blobs.port import PutCondition
from siad.runtime.bus.memory import MemoryBus
from siad.runtime.store.registry import Registry
from siad.runtime.testing.clock import FakeClock
from tests.events import NOON
from tests.manifests import make_manifest

LINES = "every line (press)"
GOLDEN = b"golden outputs"
TEACHER = make_manifest(parts=(BundlePart(name="golden", sha256=sha256_hex(GOLDEN), size_bytes=len(GOLDEN)),))
FAULT, WARNING, OK = FindingStatus.FAULT, FindingStatus.WARNING, FindingStatus.OK


class Forgetful(MemoryBlobs):
    """A store that ignores the conditions of puts."""

    def put(self, key: str, data: bytes, *, condition: PutCondition | None = None, **options: object) -> str:
        """Write whatever the condition says."""
        return super().put(key, data, **options)  # type: ignore[arg-type]


class Hanging(MemoryBlobs):
    """A store that keeps every request waiting; counts them."""

    requests = 0

    def probe(self) -> None:
        """Give up after the time-out."""
        self.requests += 1
        raise TransientError("no answer in 5 s")

    def delete(self, key: str) -> None:
        """Give up after the time-out."""
        self.probe()


class NoDelete(MemoryBlobs):
    """A store whose policy lacks DeleteObject."""

    def delete(self, key: str) -> None:
        """Refuse."""
        raise DeniedError(f"403 for {key}")


def faults(findings: list[Finding]) -> list[Finding]:
    return [one for one in findings if one.status is FAULT]


def the_fault(findings: Iterator[Finding] | list[Finding]) -> Finding:
    (found,) = faults(list(findings))
    assert found.effect
    assert found.remedy
    return found


def test_a_store_in_order_is_left_as_it_was() -> None:
    blobs = MemoryBlobs()
    assert {one.status for one in check_store(blobs, LINES)} == {OK}
    assert list(blobs.list("")) == []


def test_a_store_that_is_down_or_denies_is_named_with_the_lines() -> None:
    down = the_fault(check_store(MemoryBlobs(down=True), LINES))
    assert "does not answer" in down.what
    assert LINES in down.effect
    assert "the store denies" in the_fault(check_store(MemoryBlobs(denied=True), LINES)).what


def test_a_store_that_hangs_is_asked_once() -> None:
    store = Hanging()
    assert "no answer in 5 s" in the_fault(check_store(store, LINES)).what
    assert store.requests == 1


def test_a_missing_right_and_an_ignored_condition_are_named() -> None:
    assert "denies DeleteObject" in the_fault(check_store(NoDelete(), LINES)).what
    assert "If-None-Match" in the_fault(check_store(Forgetful(), LINES)).what


@pytest.mark.parametrize(("ahead_s", "status"), [(0, OK), (3, WARNING), (60, FAULT), (-60, FAULT)])
def test_clocks_are_compared(ahead_s: float, status: FindingStatus, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs, clock = MemoryBlobs(), FakeClock()
    head = MemoryBlobs.head

    def later(self: MemoryBlobs, key: str) -> object:
        info = head(self, key)
        assert info is not None
        clock.advance(ahead_s)
        return replace(info, modified_at=clock.now())

    monkeypatch.setattr(MemoryBlobs, "head", later)
    (clocks,) = (one for one in check_store(blobs, LINES, clock=clock) if one.check == "clocks")
    assert clocks.status is status


async def test_topics_that_are_missing_are_named_with_the_stages_that_wait() -> None:
    bus = MemoryBus()
    await bus.create_topics([topic for topic in TOPICS if topic.name != "siad.teacher.v1"])
    found = the_fault(await check_bus(bus, "memory", LINES))
    assert (found.check, "siad.teacher.v1" in found.what) == ("topics", True)
    assert "labeler, trainer, inference wait" in found.effect
    await bus.create_topics(TOPICS)
    assert not has_fault(await check_bus(bus, "memory", LINES))


async def test_a_broker_that_does_not_answer_is_one_fault() -> None:
    bus = MemoryBus()
    bus.down = True
    found = the_fault(await check_bus(bus, "kafka-1:9092", LINES))
    assert found.what.startswith("kafka-1:9092 does not answer")


def released(blobs: MemoryBlobs) -> list[Pointer]:
    registry = Registry(blobs)
    registry.store(TEACHER, {"golden": GOLDEN})
    registry.point(TEACHER, expected=None, released_at=NOON)
    return [one for one in read_pointers(blobs) if isinstance(one, Pointer)]


def test_damaged_weights_are_named_with_their_line() -> None:
    blobs = MemoryBlobs()
    (pointer,) = pointers = released(blobs)
    assert [one.status for one in check_weights(blobs, pointers)] == [OK]
    blobs.put(part_key(sha256_hex(GOLDEN)), b"damaged")
    found = the_fault(check_weights(blobs, pointers))
    assert str(pointer.place) in found.effect
    assert f"siad rollback {pointer.line}" in found.remedy


def test_a_damaged_pointer_is_a_fault_and_the_others_are_read() -> None:
    blobs = MemoryBlobs()
    (pointer,) = released(blobs)
    blobs.put(weights_pointer_key("teacher", "other", "cap"), b"{")
    read = list(read_pointers(blobs))
    assert [one for one in read if isinstance(one, Pointer)] == [pointer]
    assert "pointers/teacher/other/cap.json" in the_fault([one for one in read if isinstance(one, Finding)]).what


def test_weights_that_do_not_serve_yet_are_compared_with_the_pointer() -> None:
    (pointer,) = pointers = released(MemoryBlobs())
    place = (pointer.line, pointer.product)
    assert list(compare_with_served(pointers, {place: pointer.weights})) == []
    assert "earlier weights" in the_fault(compare_with_served(pointers, {place: "0" * 64})).effect
    assert "UNKNOWN" in the_fault(compare_with_served(pointers, {})).effect


@pytest.mark.parametrize(
    ("free", "files", "status"), [(0.5, 10**6, FAULT), (2, 10**6, WARNING), (9, 5, FAULT), (9, 10**6, OK)]
)
def test_a_full_disk_is_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: float, files: int, status: FindingStatus
) -> None:
    state = SimpleNamespace(f_bavail=int(free * FREE_BYTES_MIN), f_frsize=1, f_files=10**7, f_favail=files)
    monkeypatch.setattr(os, "statvfs", lambda _: state)
    (found,) = check_disks([tmp_path, tmp_path, tmp_path / "none"], LINES)
    assert found.status is status
    assert list(tmp_path.iterdir()) == []


def test_ray_is_tried() -> None:
    assert check_ray("").status is FindingStatus.UNKNOWN
    assert check_ray("127.0.0.1:9").status is FAULT


def test_contradictions_and_unknown_names_are_found(tmp_path: Path) -> None:
    env: Mapping[str, str] = {
        "SIAD_FOO": "1",
        "SIAD_INGEST_HTP_PORT": "1",
        "SIAD_BUS_BOOTSTRAP": "kafka:9092",
        "SIAD_BUS_MIN_INSYNC_REPLICAS": "2",
        "SIAD_STORE_BUCKET": "siad",
    }
    found = check_environment(tmp_path, env)
    assert [one.what.split()[0] for one in found if one.status is WARNING] == ["SIAD_FOO"]
    texts = " ".join(one.what for one in faults(found))
    assert "SIAD_INGEST_HTTP_PORT" in texts
    assert "SIAD_BUS_MIN_INSYNC_REPLICAS=2 is more than SIAD_BUS_REPLICATION=1" in texts
    assert [one.status for one in check_environment(tmp_path, {"PATH": "/bin"})] == [OK]


def test_a_console_without_a_key_for_ingest_is_a_warning(tmp_path: Path) -> None:
    env = {"SIAD_AUTH": "required"}
    [found] = check_environment(tmp_path, env)
    assert (found.status, found.what) == (WARNING, "SIAD_AUTH=required, and SIAD_CONSOLE_INGEST_KEY is not set")
    assert found.effect
    assert "siad key create console" in found.remedy
    assert [one.status for one in check_environment(tmp_path, {**env, "SIAD_CONSOLE_INGEST_KEY": "siad_x"})] == [OK]


BOOKS = {"line": "press", "missing": 2, "missing_after_s": 12.0, "dead_letter": 1}
QUARANTINED = '# TYPE siad_line_quarantined gauge\nsiad_line_quarantined{stage="inference",line="press"} 1\n'


def answer(request: httpx.Request) -> httpx.Response:
    match request.url.host, request.url.path:
        case "labeler", "/readyz":
            return httpx.Response(503, json={"missing": {"store": "access denied"}, "detail": "not ready"})
        case "console", _:
            raise httpx.ConnectError("refused", request=request)
        case "ingest", "/v1/books":
            return httpx.Response(200, json={"as_of": "2026-11-30T12:00:00Z", "lines": [BOOKS]})
        case "inference", "/metrics":
            return httpx.Response(200, text=QUARANTINED)
        case "trainer", "/healthz":
            return httpx.Response(200, headers={"date": "Mon, 30 Nov 2020 12:00:00 GMT"})
    return httpx.Response(200, text="")


def test_stages_are_examined_by_probe_metrics_clock_and_ledger() -> None:
    urls = {name: f"http://{name}" for name in ("ingest", "scorer", "labeler", "console", "trainer", "inference")}
    with httpx.Client(transport=httpx.MockTransport(answer)) as client:
        found = list(check_stages(client, urls, LINES))
    wrong = {(one.check, one.what.split()[0]) for one in faults(found)}
    assert wrong == {
        *(("labeler", "is"), ("console", "does"), ("inference", "line"), ("captures", "2"), ("clocks", "the")),
    }
    assert [one.what for one in found if one.status is WARNING] == ["1 captures of press ended as dead letters"]
    assert all(one.effect and one.remedy for one in faults(found))


def test_everything_down_is_still_examined(tmp_path: Path) -> None:
    env = {
        "SIAD_BUS_BOOTSTRAP": f"embedded://{tmp_path}/bus.sqlite",
        "SIAD_STORE_BUCKET": "siad",
        "SIAD_STORE_ENDPOINT_URL": "http://127.0.0.1:9",
        "RAY_ADDRESS": "127.0.0.1:9",
    }
    told: list[str] = []
    found = examine(tmp_path, env, told.append)
    assert {one.check for one in faults(found)} == {"broker", "store", "ray"}
    assert [one.what for one in found if one.check == "weights"] == ["not read, since the store has a fault"]
    assert told[0] == "settings"
    assert not (tmp_path / "bus.sqlite").exists()  # an examination creates no bus


def test_a_machine_that_starts_is_said_first(tmp_path: Path) -> None:
    with locked(tmp_path):
        first, *others = examine(tmp_path, {}, lambda _: None)
        assert (first.status, first.what) == (FAULT, describe_start(tmp_path))
        assert first.what.startswith(f"the `siad up` on {tmp_path} is still starting")
        assert not faults(others)
        assert not [one for one in others if "start `siad up`" in one.remedy]
        (tmp_path / STARTED_FILE).touch()
        assert check_start(tmp_path) == []
    (tmp_path / STARTED_FILE).unlink()
    assert check_start(tmp_path) == []


def test_lines_are_named_and_the_rest_is_counted() -> None:
    assert describe_lines([]) == "every line"
    assert describe_lines(["a"]) == "every line (a)"
    assert describe_lines(list("abcdef")) == "every line (a, b, c, d and 2 more)"
