"""Every stage asks for credentials on every route of its table, where they are required."""

import importlib
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
import pytest
from pydantic import AnyHttpUrl

from services.console.settings import ConsoleSettings
from services.inference.settings import InferenceSettings
from services.ingest.settings import IngestSettings
from services.labeler.settings import LabelerSettings
from services.trainer.adapters.job_process import LocalJobs
from services.trainer.settings import TrainerSettings
from siad.contracts.access import Scope
from siad.contracts.topics import TOPICS
from siad.runtime.access.api_keys import ApiKeys, KeyRequest
from siad.runtime.access.settings import AccessSettings
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.bus.memory import MemoryBus
from siad.runtime.settings import StageSettings
from siad.runtime.testing.clock import FakeClock
from siad.runtime.worker import StageProcess

SETTINGS: dict[str, StageSettings] = {
    "ingest": IngestSettings(),
    "labeler": LabelerSettings(scorer_url=AnyHttpUrl("http://127.0.0.1:9")),
    "console": ConsoleSettings(),
    "trainer": TrainerSettings(),
    "inference": InferenceSettings(),
}
PARTS = {"line": "press-1", "capture": "0" * 32, "name": "a" * 64, "weights": "a" * 64, "session": "b" * 64}


def assembled(stage: StageProcess, bus: MemoryBus, blobs: MemoryBlobs) -> AbstractAsyncContextManager[None]:
    app = importlib.import_module(f"services.{stage.name}.app")
    more: dict[str, Any] = {"jobs": LocalJobs(limit_s=60)} if stage.name == "trainer" else {}
    opened: AbstractAsyncContextManager[None] = app.assemble(stage, SETTINGS[stage.name], bus=bus, blobs=blobs, **more)
    return opened


def address_of(template: str) -> str:
    for name in {part[1:-1] for part in template.split("/") if part.startswith("{")}:
        template = template.replace(f"{{{name}}}", PARTS.get(name, "c" * 32))
    return template


@pytest.mark.parametrize("name", SETTINGS)
async def test_no_route_is_answered_without_a_key(name: str) -> None:
    bus, blobs, clock = MemoryBus(), MemoryBlobs(), FakeClock()
    await bus.create_topics(TOPICS)
    stage = StageProcess(name, SETTINGS[name], clock=clock, access=AccessSettings(auth="required"))
    routes = importlib.import_module(f"services.{name}.access").ROUTES
    request = KeyRequest(name="x", scopes=[Scope.ADMIN], lines=["press-2"], expires_at=None, created_by="ann")
    other_line, _ = ApiKeys(blobs).create(request, now=clock.now())
    async with assembled(stage, bus, blobs):
        assert stage.is_guarded
        transport = httpx.ASGITransport(stage.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            for route, need in routes.items():
                method, _, template = route.partition(" ")
                response = await client.request(method, address_of(template))
                if need.permission is not None:
                    assert response.status_code == 401, route
                headers = {"Authorization": f"Bearer {other_line}"}
                if "{line}" in template:
                    assert (await client.request(method, address_of(template), headers=headers)).status_code == 403
