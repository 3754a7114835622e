"""`siad verdicts` on real brokers: it follows, ends with Ctrl-C, and leaves no consumer group behind."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from typer.testing import CliRunner

from siad.apps.cli.__main__ import app
from siad.contracts.codec import encode
from siad.contracts.events import VerdictGiven
from siad.contracts.topics import VERDICT
from siad.runtime.bus.open import open_bus
from siad.runtime.bus.port import Message
from tests.fixtures.kafka import BUSES, quick_settings
from tests.unit.apps.cli.events import verdict


@pytest.fixture(params=BUSES)
def bootstrap(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a broker of each kind."""
    if request.param == "embedded":
        return f"embedded://{tmp_path}/bus.sqlite"
    node = request.getfixturevalue("kafka_node")
    return str(node.bootstrap)


@pytest.fixture
def line() -> str:
    """A line that no other test uses."""
    return f"line-{uuid.uuid4().hex[:12]}"


def publish(bootstrap: str, *verdicts: VerdictGiven) -> None:
    async def run() -> None:
        bus = open_bus(quick_settings(bootstrap))
        await bus.create_topics([VERDICT])
        async with bus.producer() as producer:
            messages = [
                Message(topic=VERDICT.name, key=f"{one.line}/{number % 3}", value=encode(one))
                for number, one in enumerate(verdicts)
            ]
            await producer.publish(messages)

    asyncio.run(run())


def groups(bootstrap: str) -> set[str]:
    """The consumer groups of a Kafka broker; of the embedded bus, the lock files of its groups."""
    if bootstrap.startswith("embedded://"):
        folder = Path(f"{bootstrap.removeprefix('embedded://')}-groups")
        return {lock.name for lock in folder.iterdir()} if folder.exists() else set()

    async def ask() -> set[str]:
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        await admin.start()
        try:
            return {name for name, _ in await admin.list_consumer_groups()}
        finally:
            await admin.close()

    return asyncio.run(ask())


@contextmanager
def following(bootstrap: str, line: str) -> Iterator[subprocess.Popen[str]]:
    args = [sys.executable, "-m", "siad.apps.cli", "verdicts", "--follow", "--json", "--line", line]
    env = {**os.environ, "SIAD_BUS_BOOTSTRAP": bootstrap}
    process = subprocess.Popen(args, stdout=subprocess.PIPE, env=env, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def next_capture(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return str(json.loads(process.stdout.readline())["capture_id"])


def test_the_newest_verdicts_are_listed_and_no_group_is_left(bootstrap: str, line: str) -> None:
    publish(bootstrap, *(replace(verdict(number, 0.5), line=line) for number in range(30)))
    before = groups(bootstrap)
    done = CliRunner().invoke(
        app, ["verdicts", "--json", "--limit", "3", "--line", line], env={"SIAD_BUS_BOOTSTRAP": bootstrap}
    )
    assert done.exit_code == 0, done.output
    assert [int(json.loads(text)["capture_id"], 16) for text in done.stdout.splitlines()] == [27, 28, 29]
    assert groups(bootstrap) == before


def test_following_prints_new_verdicts_until_ctrl_c(bootstrap: str, line: str) -> None:
    one, two = (replace(verdict(number, 0.5), line=line) for number in (1, 2))
    publish(bootstrap, one)
    before = groups(bootstrap)
    with following(bootstrap, line) as process:
        assert next_capture(process) == one.capture_id
        publish(bootstrap, two)
        assert next_capture(process) == two.capture_id
        assert groups(bootstrap) == before
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    assert groups(bootstrap) == before
