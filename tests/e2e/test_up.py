"""`siad up`: it starts everything, Ctrl-C stops it, and a second start continues."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.e2e.harness import wait_for
from tests.fixtures.kafka import BUSES, require_kafka

pytestmark = [pytest.mark.ray, pytest.mark.slow]


async def siad(*args: str, env: dict[str, str] | None = None) -> tuple[int, str]:
    """Run one command; returns its exit status and output."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "siad.apps.cli",
        *args,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, **(env or {})},
    )
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode()


def running_on(data: Path) -> list[int]:
    """Processes with the folder on their command line or in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                words = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue
            if str(data).encode() in words:
                found.append(int(entry.name))
    return found


@asynccontextmanager
async def up(data: Path, bus: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """`siad up`, ready; at the end Ctrl-C must stop it in order."""
    log = data.parent / "up.log"
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "siad.apps.cli",
            "up",
            "--data",
            str(data),
            "--bus",
            bus,
            stdout=out,
            stderr=out,
            env={**os.environ, "SIAD_TEST_MARK": str(data)},  # inherited by all that it starts
        )

    async def is_ready() -> bool:
        assert process.returncode is None, log.read_text()[-3000:]
        return "siad next:" in log.read_text()

    try:
        await wait_for(is_ready, 240, "siad up to be ready", on_fail=lambda: log.read_text()[-3000:])
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        async with asyncio.timeout(90):
            assert await process.wait() == 0, log.read_text()[-3000:]


@pytest.mark.parametrize("bus", BUSES)
async def test_up_comes_up_goes_down_and_carries_on(tmp_path: Path, bus: str) -> None:
    if bus == "kafka":
        require_kafka()
    data = tmp_path / "data"
    async with up(data, bus):
        status, said = await siad("line", "put", "press-3", "--product", "cap", "--data", str(data), "--json")
        assert status == 0, said
        status, said = await siad("status", "--data", str(data), "--json")
        assert status == 0, said
        assert json.loads(said)["bus"] == bus
        assert {stage["stage"]: stage["ready"] for stage in json.loads(said)["stages"]} == dict.fromkeys(
            ("ingest", "labeler", "console", "trainer", "inference"), True
        )
        status, said = await siad("up", "--data", str(data))
        assert status == 1
        assert "Stop it, or choose another folder with --data" in " ".join(said.split())
    assert running_on(data) == []
    status, said = await siad("status", "--data", str(data))
    assert status == 1
    assert "does not run on" in " ".join(said.split())
    async with up(data, "auto"):  # a folder stays with its bus
        status, said = await siad("line", "get", "press-3", "--data", str(data), "--json")
        assert status == 0, said
        assert json.loads(said)["product"] == "cap"
    assert running_on(data) == []
