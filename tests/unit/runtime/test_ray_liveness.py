"""A process ends with the Ray that it leans on, and with no other."""

import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from siad.runtime import ray_liveness as ray_gone


@pytest.fixture
def raylet() -> Iterator[tuple[socket.socket, str]]:
    """Something that listens where a raylet would; the path is short, as a Unix socket wants it."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        path = str(Path(folder) / "raylet")
        listener.bind(path)
        listener.listen()
        yield listener, path


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_gone, "CHECK_EVERY_S", 0.005)


def test_a_raylet_that_closes_its_socket_is_missed(raylet: tuple[socket.socket, str]) -> None:
    listener, path = raylet
    gone = threading.Event()
    ray_gone.end_with_ray(path, on_gone=gone.set)
    assert not gone.wait(0.1)
    listener.close()
    assert gone.wait(2)


def test_another_raylet_elsewhere_does_not_stand_in_for_it(raylet: tuple[socket.socket, str]) -> None:
    listener, path = raylet
    gone = threading.Event()
    ray_gone.end_with_ray(path, on_gone=gone.set)
    listener.close()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(f"{path}.next-session")
        other.listen()
        assert gone.wait(2)


def test_one_refused_look_is_forgiven(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([True, False, True, False, False, True])
    spent, gone = threading.Event(), threading.Event()

    def listens(_: str) -> bool:
        if (answer := next(answers, None)) is None:
            assert not gone.is_set()
            spent.set()
            return False
        return answer

    monkeypatch.setattr(ray_gone, "listens", listens)
    ray_gone.end_with_ray("anywhere", on_gone=gone.set)
    assert spent.wait(2)
    assert gone.wait(2)


def test_the_process_ends_at_once_though_its_main_thread_waits_for_ever() -> None:
    code = (
        "import threading; from siad.runtime import ray_gone; ray_gone.LOOK_S = 0.02; "
        "ray_gone.end_with_ray('/nowhere/raylet'); threading.Event().wait()"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode == ray_gone.EXIT_STATUS
    assert "ray_gone" in ended.stdout + ended.stderr
