"""Numbers on the command line: refused before any work, with what was meant."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from siad.apps.cli.__main__ import app

BUDGET = "is not a fraction between 0 and 1"
SHOTS = "is invalid; write numbers of normals from 1, or all"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("evaluate --budget 5", f"5 {BUDGET}; 5 % is 0.05."),
        ("evaluate --budget nan", f"nan {BUDGET}."),
        ("evaluate --budget 1e9", f"1e+09 {BUDGET}."),
        ("evaluate --budget 0", f"0 {BUDGET}."),
        ("evaluate --threads 0", "0 is not a number of threads from 1 to 256; this machine has"),
        ("evaluate --threads 1000000", "1000000 is not a number of threads"),
        ("evaluate --seeds 0", "0 is not a number of draws from 1 to 100"),
        ("evaluate --pixels -1", "-1 is not a side of 16 to 8192 px, or 0"),
        ("evaluate --input-px 9", "9 is not a side of 64 to 4096 px, or 0"),
        ("routine --budget inf", f"inf {BUDGET}."),
        ("routine --seed -1", "-1 is not a seed from 0 to 4,294,967,295"),
        ("routine --shots 1", "1 is not a number of normals from 2 to 100,000"),
        ("routine --online 0", "0 is not a number of images from 3 to"),
        ("routine --test 1", "1 is not a number of images from 2 to"),
        ("routine --threads -2", "-2 is not a number of threads"),
        ("send --line a --parallel 0", "0 is not a number of uploads from 1 to 64"),
        ("line put --miss-cost inf", "Invalid value for '--miss-cost': inf is not a finite number. Nothing was done"),
        ("line put --miss-cost nan", "'--miss-cost': nan is not a finite number"),
        ("line put --false-reject-budget nan", "'--false-reject-budget': nan is not a finite number"),
        ("line put --deadline-s inf", "'--deadline-s': inf is not a finite number"),
        ("watch --line a --settle-s nan", "nan is not a time of 0.1 to 3600 s"),
        ("watch --line a --parallel 999", "999 is not a number of uploads from 1 to 64"),
    ],
)
def test_a_number_out_of_bounds_is_wrong_usage(tmp_path: Path, words: str, said: str) -> None:
    command, *rest = words.split()
    subject = [rest.pop(0), "a"] if command == "line" else [str(tmp_path)]
    done = CliRunner().invoke(app, [command, *subject, *rest], terminal_width=200)
    assert done.exit_code == 2, done.output
    assert said in " ".join(done.output.replace("│", " ").split())


@pytest.mark.parametrize("shots", ["0", "-3", "1e3", "", "2,,3", "999999999999", "²", "ten"])
def test_numbers_of_normals_are_whole_and_over_zero(tmp_path: Path, shots: str) -> None:
    done = CliRunner().invoke(app, ["evaluate", str(tmp_path), "--shots", shots])
    assert (done.exit_code, SHOTS in done.output) == (1, True), done.output


def test_a_number_of_normals_is_named_once(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["evaluate", str(tmp_path), "--shots", "2,all,2"])
    assert "names a number twice" in done.output


@pytest.mark.parametrize("command", ["evaluate", "routine"])
def test_method_and_outputs_are_checked_before_the_folder_is_read(tmp_path: Path, command: str) -> None:
    done = CliRunner().invoke(app, [command, str(tmp_path), "--method", "divination"])
    assert (done.exit_code, "no method 'divination'; choose" in done.output) == (1, True)
    done = CliRunner().invoke(app, [command, str(tmp_path), "--sheet", str(tmp_path)])
    assert (done.exit_code, f"{tmp_path} can't be written: it is a folder" in done.output) == (1, True)
