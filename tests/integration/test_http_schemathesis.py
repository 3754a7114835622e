"""Whatever is sent to a stage over HTTP, it does not break, and it answers as its description says.

Schemathesis draws requests from each stage's OpenAPI description, good ones and bad ones, always the same. The stages
run on loopback, with broker and store in memory.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from pydantic import AnyHttpUrl
from schemathesis import BaseSchema, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)

from services.console.app import assemble as assemble_console
from services.console.settings import ConsoleSettings
from services.inference.app import assemble as assemble_inference
from services.inference.settings import InferenceSettings
from services.ingest.app import assemble as assemble_ingest
from services.ingest.settings import IngestSettings
from services.labeler.app import assemble as assemble_labeler
from services.labeler.settings import LabelerSettings
from services.trainer.adapters.job_process import LocalJobs
from services.trainer.app import assemble as assemble_trainer
from services.trainer.settings import TrainerSettings
from siad.contracts.topics import TOPICS
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.bus.memory import MemoryBus
from siad.runtime.settings import StageSettings
from siad.runtime.worker import StageProcess, serve

START_S = 30.0
CHECKS: list[Any] = [
    not_a_server_error,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]
Assemble = Callable[[StageProcess], AbstractAsyncContextManager[None]]
bounded = settings(
    max_examples=20,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@contextmanager
def running(name: str, stage_settings: StageSettings, assemble: Assemble) -> Iterator[BaseSchema]:
    """A stage in a thread with a loop of its own, and its description."""
    stage, loops = StageProcess(name, stage_settings), list[asyncio.AbstractEventLoop]()

    async def run() -> None:
        loops.append(asyncio.get_running_loop())
        await serve(stage, assemble)

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    try:
        yield schemathesis.openapi.from_url(f"{_url(stage)}/openapi.json", wait_for_schema=START_S)
    finally:
        loops[0].call_soon_threadsafe(stage.stop.set)
        thread.join(START_S)
        assert not thread.is_alive()


def _url(stage: StageProcess) -> str:
    for _ in range(int(START_S / 0.02)):
        if stage.port is not None:
            return f"http://127.0.0.1:{stage.port}"
        threading.Event().wait(0.02)
    raise AssertionError(f"{stage.name} does not listen")


def ingest(bus: MemoryBus, blobs: MemoryBlobs) -> tuple[StageSettings, Assemble]:
    mine = IngestSettings(http_port=0, upload_max_bytes=20_000, pixels_max=10_000)
    return mine, lambda stage: assemble_ingest(stage, mine, bus=bus, blobs=blobs)


def labeler(bus: MemoryBus, blobs: MemoryBlobs) -> tuple[StageSettings, Assemble]:
    mine = LabelerSettings(http_port=0, scorer_url=AnyHttpUrl("http://127.0.0.1:9"))  # no server listens there
    return mine, lambda stage: assemble_labeler(stage, mine, bus=bus, blobs=blobs)


def console(bus: MemoryBus, blobs: MemoryBlobs) -> tuple[StageSettings, Assemble]:
    mine = ConsoleSettings(http_port=0)
    return mine, lambda stage: assemble_console(stage, mine, bus=bus, blobs=blobs)


def trainer(bus: MemoryBus, blobs: MemoryBlobs) -> tuple[StageSettings, Assemble]:
    mine = TrainerSettings(http_port=0)
    jobs = LocalJobs(limit_s=mine.job_limit_s)
    return mine, lambda stage: assemble_trainer(stage, mine, bus=bus, blobs=blobs, jobs=jobs)


def inference(bus: MemoryBus, blobs: MemoryBlobs) -> tuple[StageSettings, Assemble]:
    mine = InferenceSettings(http_port=0)
    return mine, lambda stage: assemble_inference(stage, mine, bus=bus, blobs=blobs)


@schemathesis.serializer("application/zip")
def archive(_: Any, value: Any) -> Any:
    """Bytes in place of an archive, as they were drawn."""
    return value if isinstance(value, bytes) else str(value).encode()


@pytest.mark.parametrize("make", [ingest, labeler, console, trainer, inference], ids=lambda make: make.__name__)
def test_a_stage_keeps_its_word(make: Callable[..., tuple[StageSettings, Assemble]]) -> None:
    bus, blobs = MemoryBus(), MemoryBlobs()
    asyncio.run(bus.create_topics(TOPICS))
    stage_settings, assemble = make(bus, blobs)
    with running(make.__name__, stage_settings, assemble) as schema:
        if make is ingest:
            url = schema.get_base_url().rstrip("/")
            requests.put(f"{url}/v1/lines/0", json={"product": "lid"}, timeout=5).raise_for_status()
        exercise(schema)


def exercise(schema: BaseSchema) -> None:
    """Ask every operation, in good and in bad ways; fail with all that was found.

    Schemathesis's own pytest fixture reads what pytest 9 keeps to itself, so its strategies are driven here.
    """
    found: list[str] = []
    with requests.Session() as session:
        for result in schema.get_all_operations():
            operation: Any = result.ok()  # type: ignore[union-attr] # our descriptions are valid
            if operation.path == "/readyz":  # 503 is its way to say no, and the scorer is away here
                continue
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                found += [f"{operation.label}, {mode.value}: {said}" for said in ask(operation, mode, session)]
    assert not found, "\n\n".join(found)


def ask(operation: Any, mode: GenerationMode, session: requests.Session) -> list[str]:
    """Ask one operation again and again; what was wrong with its answers."""

    @bounded
    @given(case=operation.as_strategy(mode))
    def one(case: Any) -> None:
        case.call_and_validate(checks=CHECKS, session=session)

    try:
        one()
    except Unsatisfiable:  # an operation without parameters can't be asked wrongly
        return []
    except FailureGroup as failures:
        return [f"{type(one).__name__}: {one}" for one in failures.exceptions]
    except Failure as failure:
        return [f"{type(failure).__name__}: {failure}"]
    return []
