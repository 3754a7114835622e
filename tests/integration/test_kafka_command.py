"""`siad kafka` as a user at a terminal runs it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from siad.contracts.topics import Topic
from siad.runtime.bus.kafka.bus import KafkaBus
from siad.runtime.bus.port import Message
from tests.fixtures.kafka import quick_settings, require_kafka

STATE = Topic("state", "state", "ingest", ())

pytestmark = pytest.mark.kafka


@contextmanager
def kafka_command(data: Path) -> Iterator[tuple["subprocess.Popen[str]", str, int]]:
    """The running command, its address, and the process of its node."""
    args = [sys.executable, "-m", "siad.apps.cli", "kafka", "--json", "--data", str(data)]
    with subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as command:
        assert command.stdout is not None
        try:
            line = command.stdout.readline()
            said = json.loads(line) if line else {}
            yield command, said.get("bootstrap", ""), said.get("pid", 0)
        finally:
            command.send_signal(signal.SIGTERM)


def is_running(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rsplit(")", 1)[1].split()[0] != "Z"  # a zombie has ended too


async def test_it_carries_on_with_its_data_and_takes_its_node_along(tmp_path: Path) -> None:
    require_kafka()
    with kafka_command(tmp_path) as (command, bootstrap, pid):
        bus = KafkaBus(quick_settings(bootstrap))
        await bus.create_topics([STATE])
        async with bus.producer() as producer:
            await producer.publish([Message(topic=STATE.name, key="k", value=b"kept")])
        assert is_running(pid)
        command.send_signal(signal.SIGINT)
        assert command.wait(30) == 0
        assert not is_running(pid)

    with kafka_command(tmp_path) as (command, again, pid):
        assert again == bootstrap  # clients find it at the same address
        async with KafkaBus(quick_settings(again)).state(STATE.name) as reader:
            assert {key: record.value for key, record in (await reader.snapshot()).items()} == {"k": b"kept"}
        os.kill(command.pid, signal.SIGKILL)
        end_s = time.monotonic() + 30
        while is_running(pid) and time.monotonic() < end_s:
            await asyncio.sleep(0.2)
        assert not is_running(pid)  # nothing is left behind, however the command ended


def test_it_says_in_plain_words_what_is_missing(tmp_path: Path) -> None:
    args = [sys.executable, "-m", "siad.apps.cli", "kafka", "--data", str(tmp_path)]
    done = subprocess.run(args, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "no Java on PATH" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
