"""One stage, one process: what starts, what stops it, and what it answers meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from pydantic_settings import SettingsConfigDict

from siad.contracts.errors import TransientError
from siad.runtime.settings import StageSettings
from siad.runtime.testing.clock import FakeClock
from siad.runtime.worker import StageProcess, no_adapters, serve


class PaintSettings(StageSettings):
    """Read from ``SIAD_PAINT_*``."""

    model_config = SettingsConfigDict(env_prefix="SIAD_PAINT_")

    http_port: int = 0
    drain_s: float = 0.2


@asynccontextmanager
async def serving(stage: StageProcess) -> AsyncIterator[httpx.AsyncClient]:
    """The stage at work; leaving stops it."""
    task = asyncio.create_task(serve(stage, no_adapters))
    await asyncio.sleep(0.05)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{stage.port}") as client:
        yield client
    stage.stop.set()
    await task


async def test_answers_on_loopback_until_it_is_stopped() -> None:
    stage = StageProcess("paint", PaintSettings())
    async with serving(stage) as client:
        assert (await client.get("/healthz")).json()["status"] == "alive"
    with pytest.raises(httpx.ConnectError):
        async with httpx.AsyncClient() as client:
            await client.get(f"http://127.0.0.1:{stage.port}/healthz")


async def test_health_is_answered_while_tasks_drain() -> None:
    stage = StageProcess("paint", PaintSettings())
    drained = asyncio.Event()

    async def paint() -> None:
        await stage.stop.wait()
        await drained.wait()

    stage.tasks["paint"] = paint
    async with serving(stage) as client:
        stage.stop.set()
        await asyncio.sleep(0.02)
        assert (await client.get("/healthz")).status_code == 200
        drained.set()


async def test_tasks_start_once_every_preparation_is_done_and_http_answers_before() -> None:
    stage = StageProcess("paint", PaintSettings(), clock=FakeClock())
    attempts = 0
    is_up, started = asyncio.Event(), asyncio.Event()

    async def open_store() -> None:
        nonlocal attempts
        attempts += 1
        if not is_up.is_set():
            msg = "the store does not answer"
            raise TransientError(msg)

    async def paint() -> None:
        started.set()
        await stage.stop.wait()

    stage.preparations["store"] = open_store
    stage.tasks["paint"] = paint
    async with serving(stage) as client:
        assert (await client.get("/healthz")).status_code == 200
        assert attempts > 1
        assert not started.is_set()
        is_up.set()
        async with asyncio.timeout(2):
            await started.wait()


async def test_a_stop_ends_the_preparations_and_starts_no_task() -> None:
    stage = StageProcess("paint", PaintSettings())

    async def hang() -> None:
        await asyncio.sleep(3600)

    async def paint() -> None:
        raise ZeroDivisionError

    stage.preparations["store"] = hang
    stage.tasks["paint"] = paint
    async with asyncio.timeout(2), serving(stage):
        pass


async def test_a_preparation_that_raises_a_bug_ends_the_stage() -> None:
    stage = StageProcess("paint", PaintSettings())

    async def open_store() -> None:
        raise ZeroDivisionError

    stage.preparations["store"] = open_store
    with pytest.raises(ZeroDivisionError):
        await serve(stage, no_adapters)


async def test_a_task_that_raises_comes_out_and_ends_the_rest() -> None:
    stage = StageProcess("paint", PaintSettings())
    diary: list[str] = []

    async def bug() -> None:
        raise ZeroDivisionError

    async def other() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            diary.append("other ended")

    @asynccontextmanager
    async def assemble(stage: StageProcess) -> AsyncIterator[None]:
        stage.tasks.update(other=other, bug=bug)
        yield
        diary.append("adapters closed")

    ends: list[int] = []
    with pytest.raises(ZeroDivisionError):
        await serve(stage, assemble, on_end=ends.append)
    assert (diary, ends) == (["other ended", "adapters closed"], [1])


async def test_a_task_that_ends_by_itself_is_a_bug() -> None:
    stage = StageProcess("paint", PaintSettings())

    async def over() -> None:
        return

    stage.tasks["over"] = over
    with pytest.raises(RuntimeError, match="task 'over' of stage paint ended by itself"):
        await serve(stage, no_adapters)


async def test_a_task_that_will_not_drain_is_cancelled() -> None:
    stage = StageProcess("paint", PaintSettings(drain_s=0.02))

    async def stubborn() -> None:
        await asyncio.sleep(10)

    stage.tasks["stubborn"] = stubborn
    stage.stop.set()
    async with asyncio.timeout(2):
        await serve(stage, no_adapters)


async def test_a_taken_port_is_told_in_plain_words() -> None:
    stage = StageProcess("paint", PaintSettings())
    async with serving(stage):
        assert stage.port is not None
        second = StageProcess("paint", PaintSettings(http_port=stage.port))
        with pytest.raises(OSError, match=r"can't listen on 127\.0\.0\.1:\d+: .*set SIAD_PAINT_HTTP_PORT"):
            await serve(second, no_adapters)
