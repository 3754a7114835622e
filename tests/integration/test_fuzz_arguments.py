"""Any arguments to any command: exit status 0, 1, 2 or 3, a message, and never a traceback."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer.main
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from siad.apps.cli.__main__ import app
from tests.fuzzing import fuzzed
from tests.unit.apps.cli.plant import LINE, MemoryPlant

# Not here: commands that start servers or read folders of images have tests of their own.
COMMANDS = (
    *("show", "status", "verdicts", "line get", "line put", "line list", "line delete"),
    *("dead-letters list", "dead-letters show", "dead-letters replay", "dead-letters drop"),
    *("forget capture", "forget serial", "forget line"),
)
ODD = (
    *("", " ", LINE, "press/3", "x/../y", "-1", "0", "1", "5", "1e309", "nan", "inf", "0.5", "9" * 20),
    *("7267", "7267b530…", "f" * 32, "f" * 64, "inference-1-2", "inference-1--2", "labeler", "poison"),
    *("--json", "http://127.0.0.1:1", "http://[", "ftp://x", "[red]x[/]", "[/]", "[b", "ü"),
    *("\U0001f600", "0,0,1,1", "a\nb"),
)
VALUES = st.one_of(st.sampled_from(ODD), st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20))


def options_of(path: str) -> list[tuple[str, bool]]:
    """Names of the options of a command, and whether each takes a value."""
    command: Any = typer.main.get_command(app)
    for name in path.split():
        command = command.commands[name]
    options = [one for one in command.params if one.param_type_name == "option" and "--follow" not in one.opts]
    paths = ("--data", "--payload", "--save")
    return [(name, not one.is_flag) for one in options for name in one.opts if name not in paths]


@st.composite
def calls(draw: st.DrawFn) -> list[str]:
    path = draw(st.sampled_from(COMMANDS))
    args = [*path.split(), *draw(st.lists(VALUES, max_size=2))]
    options = options_of(path)
    for name, takes_value in draw(st.lists(st.sampled_from(options), max_size=3)) if options else ():
        args += [name, draw(VALUES)] if takes_value else [name]
    return args


def refuse(request: httpx.Request) -> httpx.Response:
    """Ingest that answers some requests, refuses some and is away for others."""
    number = sum(request.url.raw_path) % 3
    if number == 0:
        raise httpx.ConnectError("away", request=request)
    if number == 1:
        return httpx.Response(422, json={"type": "urn:siad:problem:invalid-line", "detail": "the value is odd"})
    return httpx.Response(404, text="Not Found")


@pytest.fixture(scope="module")
def siad(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[list[str]], Any]]:
    plant, folder = MemoryPlant(), tmp_path_factory.mktemp("fuzz")
    for number in range(3):
        plant.put_capture(f"7267{number:028x}")
    with pytest.MonkeyPatch.context() as patch:
        for module in ("dead_letters", "forget", "show"):
            patch.setattr(f"siad.apps.cli.{module}.connect", lambda _: plant.connection)
        patch.setattr("siad.apps.cli.verdicts.connect_bus", lambda _: plant.bus)
        patch.setattr("siad.apps.cli.line.RETRY_FOR_S", 0.0)
        patch.setattr("siad.apps.cli.forget.time.sleep", lambda _: None)
        patch.setattr("siad.audit.dead_letters.QUIET_S", 0.01)
        patch.setattr("httpx.AsyncHTTPTransport.handle_async_request", _away)
        patch.chdir(folder)
        yield lambda args: CliRunner().invoke(app, args, input="n\n")
    assert not [path for path in Path(folder).iterdir() if path.name != "var"]


async def _away(_: Any, request: httpx.Request) -> httpx.Response:
    return refuse(request)


@fuzzed
@given(args=calls())
def test_no_arguments_end_in_a_traceback(siad: Callable[[list[str]], Any], args: list[str]) -> None:
    done = siad(args)
    assert done.exception is None or isinstance(done.exception, SystemExit), (args, done.exception)
    assert done.exit_code in (0, 1, 2, 3), (args, done.exit_code)
    assert (done.stdout + done.stderr).strip() or done.exit_code == 0, args
    assert "Traceback" not in done.output
    assert "Error(" not in done.output
    assert "[Errno" not in done.output, (args, done.output)
