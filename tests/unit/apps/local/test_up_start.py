"""`siad up` tells why a stage does not become ready."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import httpx
import pytest

from siad.apps.local import run
from siad.apps.local.data_folder import is_starting, locked
from siad.apps.local.machine import Machine
from siad.apps.local.ports import PortRequest
from siad.apps.local.processes import ProcessState, ProgramSpec, SupervisedProgram
from siad.apps.local.stage_status import describe_problem


@dataclass
class Stage:
    """A stage in one state."""

    state: ProcessState
    failed_starts: int = 0

    @property
    def program(self) -> ProgramSpec:
        return ProgramSpec(
            name="ingest", args=(), env={}, ready_url="http://127.0.0.1:1/readyz", log=Path("ingest.log")
        )


def machine(stage: Stage, data: Path = Path()) -> Machine:
    made = Machine(data, stages={"ingest": cast("SupervisedProgram", stage)}, ports={"ingest": 8400})
    made._requests = {"ingest": PortRequest(setting="SIAD_INGEST_HTTP_PORT", preferred=8400)}
    return made


async def test_a_stage_that_ends_again_and_again_ends_the_start_at_once() -> None:
    async with asyncio.timeout(5):
        with pytest.raises(RuntimeError, match="ingest ended 3 times during its start"):
            await run.wait_ready(machine(Stage(ProcessState.RESTARTING, failed_starts=3)), lambda _: None)


async def test_a_stage_that_was_ready_may_end_later(tmp_path: Path) -> None:
    notes: list[str] = []
    await run.wait_ready(machine(Stage(ProcessState.READY, failed_starts=3), tmp_path), notes.append)
    assert notes == ["ingest: ready at http://127.0.0.1:8400"]


async def test_the_start_is_over_once_every_stage_was_ready(tmp_path: Path) -> None:
    starting = machine(Stage(ProcessState.READY), tmp_path)
    with locked(tmp_path):
        assert is_starting(tmp_path)
        await run.wait_ready(starting, lambda _: None)
        assert not is_starting(tmp_path)
        starting.stop_nodes(lambda _: None)
        assert is_starting(tmp_path)  # as the next one on the folder finds it


async def test_a_stage_that_is_not_ready_in_time_is_named_with_log_and_reason() -> None:
    with pytest.raises(TimeoutError, match=r"within 0.01 s.*: ingest does not respond, log ingest.log"):
        await run.wait_ready(machine(Stage(ProcessState.STARTING)), lambda _: None, timeout_s=0.01)


@pytest.mark.parametrize(
    ("response", "text"),
    [
        (httpx.Response(503, json={"detail": "waiting for bus", "missing": {"bus": "refused", "store": "denied"}}),
         "bus: refused; store: denied"),
        (httpx.Response(503, json={"detail": "the loop is dead"}), "the loop is dead"),
        (httpx.Response(503, json=["odd"]), '["odd"]'),
        (httpx.Response(503, text="<html>proxy</html>"), "<html>proxy</html>"),
        (httpx.Response(502), "HTTP status 502"),
    ],
)  # fmt: skip
def test_a_problem_is_told_in_words(response: httpx.Response, text: str) -> None:
    assert describe_problem(response) == text
