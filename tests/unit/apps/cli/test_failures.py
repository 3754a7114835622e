"""Failures of the system: with the place, the reason and what to do."""

import errno
import os

import pytest
import typer

from siad.apps.cli.failures import reported_failures


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/data/a.png"),
            "/data/a.png: No space left on device; free some space, or name another place",
        ),
        (
            FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), "/data"),
            "/data: File exists; move it away, or name another place",
        ),
        (
            OSError(errno.EXDEV, os.strerror(errno.EXDEV), "/a", None, "/b"),
            "/a to /b: Invalid cross-device link",
        ),
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
            "No space left on device; free some space, or name another place; the system names no file: check standard",
        ),
        (FileNotFoundError("`siad up` does not run on x. Start it"), "`siad up` does not run on x. Start it"),
        (BlockingIOError("another watch sends this folder"), "another watch sends this folder"),
        (
            PermissionError(errno.EACCES, os.strerror(errno.EACCES), b"caf\xe9"),
            r"caf\udce9: Permission denied; check the",
        ),
        (ValueError("caf\udce9 is refused"), r"caf\udce9 is refused"),
    ],
)
def test_an_error_of_the_system_names_the_place_and_what_to_do(
    error: Exception, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as ended, reported_failures():
        raise error
    assert ended.value.exit_code == 1
    shown = capsys.readouterr().err.replace("\n", "")
    assert shown.startswith(said)
    assert "Errno" not in shown
