"""`siad export`: what it refuses. What it writes is tested with the models."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from siad.apps.cli.__main__ import app
from siad.contracts import keys
from siad.contracts.documents import LineState, write_line
from siad.contracts.events import LineChanged
from tests.unit.apps.cli.plant import LINE, PRODUCT, RECEIVED, MemoryPlant


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> MemoryPlant:
    plant = MemoryPlant()
    settings = LineChanged(
        line=LINE, revision=1, product=PRODUCT, false_reject_budget=0.05, shards=1, deadline_s=0.0, changed_at=RECEIVED
    )
    plant.blobs.put(keys.line_pointer_key(LINE), write_line(LineState(settings=settings)))
    monkeypatch.setattr("siad.apps.cli.export.connect", lambda _: plant.connection)
    return plant


def export(*args: str) -> Result:
    return CliRunner().invoke(app, ["export", *args])


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["other", "--to", "onnx"], "line 'other' is unknown; registered lines: press-3"),
        ([LINE, "--to", "onnx"], "no weights serve line press-3, product cap-28mm"),
        ([LINE, "--to", "onnx", "--product", "cap-40mm"], "no weights serve line press-3, product cap-40mm"),
        ([LINE, "--to", "onnx", "--product", "No Slug"], "No Slug"),
    ],
)
def test_a_refusal_says_why_and_writes_nothing(plant: MemoryPlant, args: list[str], told: str, tmp_path: Path) -> None:
    done = export(*args, "--out", str(tmp_path / "new"))
    assert done.exit_code == 1
    assert told in done.stderr
    assert not (tmp_path / "new").exists()


def test_a_folder_with_files_is_left_alone(plant: MemoryPlant, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    done = export(LINE, "--to", "openvino", "--out", str(tmp_path))
    assert done.exit_code == 1
    assert "is not an empty folder; nothing was written" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
