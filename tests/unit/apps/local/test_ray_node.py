"""A Ray head that gives up during its start is started again, a few times; a script stands in for Ray."""

import sys
from pathlib import Path

import pytest

from siad.apps.local.ray_node import TRIES, RayNode

RAY = """#!{python} -IS
import pathlib, socket, sys, time
starts = pathlib.Path({starts!r})
starts.write_text((starts.read_text() if starts.exists() else "") + " ".join(sys.argv) + chr(10))
if len(starts.read_text().splitlines()) <= {failures}:
    raise SystemExit("The current node timed out during startup.")
port = next(word.partition("=")[2] for word in sys.argv if word.startswith("--port="))
with socket.create_server(("127.0.0.1", int(port))):
    print("Ray runtime started", flush=True)
    time.sleep(60)
"""


def plant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, failures: int) -> Path:
    """Put a program `ray` beside a Python that fails some times; returns the file in which it records its starts."""
    starts = tmp_path / "starts"
    program = tmp_path / "ray"
    program.write_text(RAY.format(python=sys.executable, starts=str(starts), failures=failures))
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    return starts


def test_a_head_that_gives_up_is_started_again_on_other_ports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    starts = plant(tmp_path, monkeypatch, failures=TRIES - 1)
    node = RayNode(tmp_path / "data")
    try:
        node.start()
        assert node.alive
    finally:
        node.kill()
    said = [line.split() for line in starts.read_text().splitlines()]
    assert len(said) == TRIES > 1
    others = [{word for word in words if "port=" in word and not word.startswith("--port=")} for words in said]
    assert others[0] != others[1]  # of seven ports one may be the same by chance
    assert len({word for words in said for word in words if word.startswith("--port=")}) == 1, "the head stays"


def test_a_head_that_never_starts_is_an_error_with_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    starts = plant(tmp_path, monkeypatch, failures=99)
    with pytest.raises(RuntimeError, match=r"exited with status 1(.|\n)*timed out during startup"):
        RayNode(tmp_path / "data").start()
    assert len(starts.read_text().splitlines()) == TRIES
