"""`siad forget` on the real store: shows, asks, deletes, and reports what it can't delete."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from siad.apps.cli import forget
from siad.contracts import keys
from siad.runtime.blobs.s3 import S3Blobs
from tests import synthetic
from tests.integration.test_forget_store import LINE, add, left

Siad = Callable[..., Result]


@pytest.fixture
def siad(store_env: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Siad:
    """Run the command where the store and a bus are told by the environment."""
    monkeypatch.setattr(forget, "SETTLE_S", 0.0)
    env = {**store_env, "SIAD_BUS_BOOTSTRAP": f"embedded://{tmp_path}/bus.sqlite", "SIAD_BUS_WORK_RETENTION_H": "48"}
    return lambda *words, says="": CliRunner(env=env).invoke(forget.forget_app, list(words), input=says)


def plain(result: Result) -> str:
    return " ".join(result.output.split())


def test_a_capture_is_deleted_after_a_confirmation(siad: Siad, s3_blobs: S3Blobs) -> None:
    event = add(s3_blobs, 1)
    add(s3_blobs, 2)
    refused = siad("capture", event.capture_id, "--line", LINE, says="n\n")
    assert (refused.exit_code, left(s3_blobs)) == (1, {1, 2})
    assert "nothing was deleted" in plain(refused)
    done = siad("capture", event.capture_id, "--line", LINE, says="y\n")
    assert (done.exit_code, left(s3_blobs)) == (0, {2})
    assert "for up to 2 days, dead letters for up to 90" in plain(done)
    again = siad("capture", event.capture_id, "--line", LINE)
    assert again.exit_code == 0
    assert "deleted before" in plain(again)


def test_weights_that_learned_from_it_are_named(siad: Siad, s3_blobs: S3Blobs) -> None:
    made = synthetic.bundle(seed=1)
    line = made.manifest.line
    pointer = synthetic.release(s3_blobs, made)
    event = add(s3_blobs, 3, line=line, capture_id=made.manifest.normals[0], is_normal=True)
    done = siad("capture", event.capture_id, "--line", line, "--yes")
    assert done.exit_code == 0, done.output
    assert f"teacher {pointer.weights[:12]} of {line}/{pointer.product}: learned from 1 of these captures" in plain(
        done
    )
    assert "and serve now" in plain(done)
    assert "fits a new teacher without them" in plain(done)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("capture", "f" * 32, "--line", LINE), "has no such capture"),
        (("capture", "short", "--line", LINE), "is not an id"),
        (("serial", "4711", "--line", "No Line"), "is not a valid name"),
        (("line", "never-was"), "there never was a line"),
    ],
)
def test_an_unknown_capture_is_an_error(siad: Siad, s3_blobs: S3Blobs, words: tuple[str, ...], said: str) -> None:
    result = siad(*words)
    assert result.exit_code == 1
    assert said in plain(result)
    assert s3_blobs.head(keys.line_deletion_key(LINE)) is None
