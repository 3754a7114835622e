"""How a Kafka node is set up, and what is said where none can be."""

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from siad.apps.local.kafka import jars, node
from siad.apps.local.kafka.jars import VERSION, find_jars, why_unavailable
from siad.apps.local.kafka.node import KafkaNode, Listener, render_settings

LISTENERS = (Listener("PLAINTEXT", 1234, "PLAINTEXT"), Listener("SCRAM", 1236, "SASL_SSL"))


def test_every_listener_is_on_loopback() -> None:
    settings = render_settings(LISTENERS, controller=1235, log_dir=Path("log"))
    for name in ("listeners", "advertised.listeners"):
        assert all("//127.0.0.1:" in listener for listener in str(settings[name]).split(","))


def test_topics_are_never_made_by_accident_and_offsets_outlive_a_holiday() -> None:
    settings = render_settings(LISTENERS, controller=1235, log_dir=Path("log"))
    assert settings["auto.create.topics.enable"] == "false"
    assert settings["offsets.retention.minutes"] == 43_200


def test_the_pom_names_the_version_that_the_cache_is_called_by() -> None:
    assert f"<version>{VERSION}</version>" in jars.POM.read_text()


def test_a_machine_without_java_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    reason = why_unavailable()
    assert reason is not None
    assert "no Java on PATH" in reason
    assert "SIAD_BUS_BOOTSTRAP" in reason


def test_a_machine_without_maven_is_told_of_both_ways(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write_program(tmp_path, "java", "echo 'openjdk version \"17.0.15\" 2025' >&2")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("KAFKA_HOME", raising=False)
    assert "no KAFKA_HOME, and no Maven (mvn) on PATH" in (why_unavailable() or "")


@pytest.mark.parametrize(("version", "major"), [("1.8.0_402", 8), ("11.0.2", 11)])
def test_an_old_java_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str, major: int) -> None:
    write_program(tmp_path, "java", f"echo 'openjdk version \"{version}\" 2025' >&2")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    assert f"is Java {major}; " in (why_unavailable() or "")


def test_a_kafka_home_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write_program(tmp_path, "java", "echo 'openjdk version \"17.0.15\" 2025' >&2")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    monkeypatch.setenv("KAFKA_HOME", str(tmp_path))
    assert f"no kafka_2*.jar in {tmp_path / 'libs'}" in (why_unavailable() or "")
    (tmp_path / "libs").mkdir()
    (tmp_path / "libs" / "kafka_2.13-9.9.9.jar").touch()
    assert why_unavailable() is None
    assert find_jars(print) == tmp_path / "libs"


def test_jars_are_fetched_once_and_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    said = fake_maven(monkeypatch, tmp_path, f"mkdir jars; touch jars/kafka_2.13-{VERSION}.jar")
    first = find_jars(said.append)
    assert [path.name for path in first.iterdir()] == [f"kafka_2.13-{VERSION}.jar"]
    assert len(said) == 1
    assert find_jars(said.append) == first
    assert len(said) == 1
    assert list(first.parent.iterdir()) == [first]  # nothing is left lying about


def test_a_fetch_that_fails_says_what_maven_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    said = fake_maven(monkeypatch, tmp_path, "echo Could not resolve kafka_2.13; exit 1")
    with pytest.raises(RuntimeError, match=r"Could not resolve kafka_2\.13\nFix that, or .* KAFKA_HOME"):
        find_jars(said.append)
    assert list((tmp_path / "siad").iterdir()) == []


def test_a_port_of_another_program_is_named(ready: KafkaNode, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        with pytest.raises(RuntimeError, match=f"port {port} is in use by another program"):
            KafkaNode(tmp_path / "other", port).start()


def test_a_folder_in_use_is_named_also_when_its_owner_is_an_orphan(
    ready: KafkaNode, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(node, "STOP_S", 0.1)
    with pytest.raises(RuntimeError, match="another Kafka node runs on"):
        KafkaNode(tmp_path / "data").start()
    assert ready.alive
    ready.kill()
    again = KafkaNode(tmp_path / "data")
    again.start()
    try:
        assert again.bootstrap == ready.bootstrap  # clients find it where it was
    finally:
        again.stop()


def test_a_kept_port_that_a_stranger_has_now_is_given_up(ready: KafkaNode, tmp_path: Path) -> None:
    ready.stop()
    with socket.create_server(("127.0.0.1", int(ready.bootstrap.split(":")[1]))):
        again = KafkaNode(tmp_path / "data")
        again.start()
        again.stop()
    assert again.bootstrap != ready.bootstrap


def write_program(folder: Path, name: str, script: str) -> None:
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def fake_maven(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> list[str]:
    """A mvn that does as told; returns where to put what is said."""
    write_program(folder, "mvn", script)
    monkeypatch.setenv("PATH", f"{folder}:/bin:/usr/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    monkeypatch.delenv("KAFKA_HOME", raising=False)
    return []


LISTENS = """
import socket, sys
settings = dict(line.strip().split("=", 1) for line in open(sys.argv[-1]))
port = int(settings["advertised.listeners"].rsplit(":", 1)[1])
server = socket.create_server(("127.0.0.1", port))
while True:
    server.accept()
"""


@pytest.fixture
def ready(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[KafkaNode]:
    """A node whose Java is a small program that only listens."""
    monkeypatch.setattr(node, "why_unavailable", lambda: None)
    monkeypatch.setattr(node, "find_jars", lambda say: tmp_path)
    monkeypatch.setattr(node, "_java", lambda jars, heap, *args: [sys.executable, "-S", "-c", LISTENS, *args])
    monkeypatch.setattr(KafkaNode, "_format", lambda self, jars, properties: None)
    started = KafkaNode(tmp_path / "data")
    started.start()
    yield started
    started.stop()
