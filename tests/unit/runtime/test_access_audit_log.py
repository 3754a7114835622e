"""The audit log: what enters it, and that it reaches the store."""

from collections.abc import AsyncIterator

import httpx
import pytest

from siad.contracts.access import Scope
from siad.contracts.access_keys import audit_entries_prefix
from siad.contracts.audit_log import AuditAction, AuditEntry
from siad.contracts.errors import ConflictError, TransientError
from siad.runtime.access.api_keys import ApiKeys, KeyRequest
from siad.runtime.access.audit_log import REFUSALS_PER_MINUTE, AuditLog, read_days, record
from siad.runtime.access.settings import AccessSettings
from siad.runtime.access.table import CONFIGURE, VIEW
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.boot import protect
from siad.runtime.problems import Problem
from siad.runtime.settings import StageSettings
from siad.runtime.testing.clock import FakeClock
from siad.runtime.worker import StageProcess


@pytest.fixture
def blobs() -> MemoryBlobs:
    return MemoryBlobs()


@pytest.fixture
def stage(blobs: MemoryBlobs) -> StageProcess:
    stage = StageProcess("ingest", StageSettings(), clock=FakeClock(), access=AccessSettings(auth="required"))
    protect(stage, AsyncBlobs(blobs, workers=1), {"GET /v1/lines/{line}": VIEW, "PUT /v1/lines/{line}": CONFIGURE})

    @stage.app.get("/v1/lines/{line}")
    async def read(line: str) -> str:
        return line

    @stage.app.put("/v1/lines/{line}")
    async def put(line: str) -> str:
        if line == "gone":
            raise Problem(404, "unknown-line", "there is no such line")
        return line

    return stage


@pytest.fixture
async def client(stage: StageProcess) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(stage.app), base_url="http://stage") as client:
        yield client


def audit_of(stage: StageProcess) -> AuditLog:
    """The log whose entries the stage's task stores."""
    log = getattr(stage.tasks["audit"], "__self__")  # noqa: B009 - not typed
    assert isinstance(log, AuditLog)
    return log


def make_key(blobs: MemoryBlobs, stage: StageProcess, *scopes: Scope) -> tuple[dict[str, str], str]:
    request = KeyRequest(name="x", scopes=scopes, lines=(), expires_at=None, created_by="ann")
    text, key = ApiKeys(blobs).create(request, now=stage.clock.now())
    return {"Authorization": f"Bearer {text}"}, f"key {key.key_id}"


def stored(blobs: MemoryBlobs, stage: StageProcess) -> list[AuditEntry]:
    return list(read_days(blobs, stage.clock.now(), 1))


async def test_changes_and_refusals_are_entered_and_reads_are_not(
    client: httpx.AsyncClient, blobs: MemoryBlobs, stage: StageProcess
) -> None:
    admin, named = make_key(blobs, stage, Scope.ADMIN)
    reader, other = make_key(blobs, stage, Scope.READ)
    await client.put("/v1/lines/a", headers=admin)
    await client.put("/v1/lines/gone", headers=admin)
    await client.get("/v1/lines/a", headers=reader)
    await client.put("/v1/lines/a", headers=reader)
    await client.put("/v1/lines/a")  # a page without a session asks so, too
    await client.put("/v1/lines/a", headers={"Authorization": f"{reader['Authorization'][:-1]}!"})
    await audit_of(stage).flush()
    found = [(one.action, one.actor, one.subject, one.detail, one.stage) for one in stored(blobs, stage)]
    assert sorted(found) == [
        (AuditAction.REQUEST, named, "PUT /v1/lines/a", "status 200", "ingest"),
        (AuditAction.REQUEST, named, "PUT /v1/lines/gone", "status 404", "ingest"),
        (AuditAction.REQUEST_REFUSED, "", "PUT /v1/lines/a", found_detail(found, ""), "ingest"),
        (AuditAction.REQUEST_REFUSED, other, "PUT /v1/lines/a", found_detail(found, other), "ingest"),
    ]
    assert "may not configure" in found_detail(found, other)
    assert all(one.address == "127.0.0.1" for one in stored(blobs, stage))


def found_detail(found: list[tuple[AuditAction, str, str, str, str]], actor: str) -> str:
    return next(one[3] for one in found if one[1] == actor)


async def test_entries_wait_for_the_store_and_are_written_once(
    blobs: MemoryBlobs, stage: StageProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit, put = audit_of(stage), MemoryBlobs.put

    def away(*_: object, **__: object) -> str:
        raise TransientError("the store is unavailable")

    monkeypatch.setattr(MemoryBlobs, "put", away)
    for number in range(3):
        audit.add(AuditAction.SIGN_IN, f"p{number}", "by password")
    await audit.flush()
    monkeypatch.setattr(MemoryBlobs, "put", put)
    await audit.flush()
    await audit.flush()
    assert sorted(one.actor for one in stored(blobs, stage)) == ["p0", "p1", "p2"]


async def test_refusals_fill_neither_store_nor_memory(blobs: MemoryBlobs, stage: StageProcess) -> None:
    audit = audit_of(stage)
    for _ in range(3 * REFUSALS_PER_MINUTE):
        audit.add(AuditAction.REQUEST_REFUSED, "eve", "GET /")
        audit.add(AuditAction.SIGN_IN, "pat", "by password")
    await audit.flush()
    actors = [one.actor for one in stored(blobs, stage)]
    assert (actors.count("eve"), actors.count("pat")) == (REFUSALS_PER_MINUTE, 3 * REFUSALS_PER_MINUTE)
    await stage.clock.sleep(60)
    audit.add(AuditAction.REQUEST_REFUSED, "eve", "GET /")
    await audit.flush()
    assert len(list(blobs.list(audit_entries_prefix(stage.clock.now())))) == len(actors) + 1


def test_an_entry_is_never_overwritten(blobs: MemoryBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    now = FakeClock().now()
    monkeypatch.setattr("secrets.token_hex", lambda _: "0011aabb")
    record(blobs, AuditAction.KEY_MADE, "ann", "key 1", now=now)
    with pytest.raises(ConflictError):
        record(blobs, AuditAction.KEY_MADE, "eve", "key 1", now=now)
    assert [one.actor for one in read_days(blobs, now, 1)] == ["ann"]
