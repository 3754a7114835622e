"""How a Kafka node is set up, and what is said where none can be."""

from pathlib import Path

import pytest

from siad.runtime.kafka.node import render_settings, why_unavailable


def test_every_listener_is_on_loopback() -> None:
    settings = render_settings(port=1234, controller=1235, log_dir=Path("log"))
    for name in ("listeners", "advertised.listeners"):
        assert all("//127.0.0.1:" in listener for listener in str(settings[name]).split(","))


def test_topics_are_never_made_by_accident_and_offsets_outlive_a_holiday() -> None:
    settings = render_settings(port=1234, controller=1235, log_dir=Path("log"))
    assert settings["auto.create.topics.enable"] == "false"
    assert settings["offsets.retention.minutes"] == 43_200


def test_a_machine_without_java_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    reason = why_unavailable()
    assert reason is not None
    assert "no Java on PATH" in reason
    assert "SIAD_BUS_BOOTSTRAP" in reason


def fake_java(folder: Path, version: str) -> None:
    java = folder / "java"
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025' >&2\n")
    java.chmod(0o755)


@pytest.mark.parametrize(("version", "major"), [("1.8.0_402", 8), ("11.0.2", 11)])
def test_an_old_java_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str, major: int) -> None:
    fake_java(tmp_path, version)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    assert f"is Java {major}; " in (why_unavailable() or "")


def test_a_kafka_home_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_java(tmp_path, "17.0.15")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    monkeypatch.setenv("KAFKA_HOME", str(tmp_path))
    assert "KAFKA_HOME has no folder" in (why_unavailable() or "")
