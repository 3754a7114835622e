"""Messages of commands: what is wrong, with the value, and what to do; never a traceback."""

import errno
import json
import os
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner, Result

from siad.apps.cli.__main__ import app
from siad.apps.cli.failures import describe_failure
from siad.apps.client import ProblemError, describe_transport_error
from siad.apps.local.machine import STAGE_PORTS
from siad.runtime.bus.settings import BusSettings
from tests.unit.apps.cli.plant import MemoryPlant, png

READERS = ("dead_letters", "forget", "show")


@pytest.fixture(autouse=True)
def plant(monkeypatch: pytest.MonkeyPatch) -> MemoryPlant:
    plant = MemoryPlant()
    for module in READERS:
        monkeypatch.setattr(f"siad.apps.cli.{module}.connect", lambda _: plant.connection)
    return plant


def siad(*args: str) -> Result:
    return CliRunner().invoke(app, args)


@pytest.mark.parametrize(
    ("args", "status", "part"),
    [
        (["line", "get", "a", "--url", "siad:8400"], 1, "--url 'siad:8400' is not an address; nothing was sent"),
        (["line", "list", "--url", ""], 1, "--url '' is not an address"),
        (["line", "list", "--url", "http://h:99999"], 1, "--url 'http://h:99999' is not an address"),
        (["line", "list", "--data", ""], 2, "the path is empty"),
        (["line", "list", "--data", "/nowhere"], 1, "`siad up` does not run on /nowhere"),
        (["status", "--data", "/dev/null"], 1, "`siad up` does not run on /dev/null"),
        (["verdicts", "--data", "/dev/null"], 1, "`siad up` does not run on /dev/null"),
        (["verdicts", "--line", "press/3"], 1, "--line 'press/3'"),
        (["forget", "capture", "72x7", "--line", "press-3"], 1, "'72x7' is not an id: an id has the digits"),
        (["forget", "serial", " ", "--line", "press-3"], 1, "the serial is empty, which would be every"),
        (["forget", "serial", "A1", "--line", "press/3"], 1, "'press/3'"),
        (["dead-letters", "list", "--kind", "odd"], 1, "--kind 'odd' is unknown; kinds are poison, crash, quarantine"),
        (["dead-letters", "list", "--line", "press/3"], 1, "--line 'press/3'"),
        (["dead-letters", "list", "--stage", "odd"], 1, "stage odd has no dead letters; these have: labeler"),
        (["dead-letters", "drop", "inference-1-2", "--because", ""], 1, "--because is empty; nothing was dropped"),
        (["dead-letters", "show", "x"], 1, "'x' is not the ID of a dead letter"),
        (["kafka", "--port", "99999"], 2, "99999"),
        (["kafka", "--port", "0"], 2, "0 is not in the range"),
        (["kafka", "--data", "/dev/null"], 1, "data folder /dev/null can't be created: /dev/null is a file"),
        (["up", "--data", "/dev/null/x"], 1, "data folder /dev/null/x can't be created: /dev/null is a file"),
        (["up", "--data", ""], 2, "the path is empty"),
        (["demo", "--cells", "3"], 2, "--cells"),
        (["demo", "--data", ""], 2, "the path is empty"),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_named_with_its_value(args: list[str], status: int, part: str) -> None:
    done = siad(*args)
    assert done.exit_code == status, done.output
    text = " ".join(done.stderr.replace("│", " ").split())
    assert part in text or status == 2
    assert "Errno" not in text
    assert "Traceback" not in text


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (["send", "a.png", "--line", "a", "--intent", "bad"], "'--intent': 'bad' is not one of 'inspect', 'normal'"),
        (["key", "create", "a", "--scope", "bad"], "'--scope': 'bad' is not one of 'read'"),
        (["audit-log", "--days", "-1"], "'--days': it should be greater than or equal to 1"),
    ],
)
def test_a_refused_option_is_explained_without_words_of_the_library(args: list[str], reason: str) -> None:
    done = siad(*args)
    assert done.exit_code == 2
    assert f"Invalid value for {reason}" in " ".join(done.stderr.replace("│", " ").split())


def test_an_empty_serial_deletes_nothing(plant: MemoryPlant) -> None:
    receipt = plant.put_capture("7267" + "0" * 28)
    assert siad("forget", "serial", "", "--line", "press-3", "--yes").exit_code == 1
    assert plant.blobs.head(plant.blobs.key_of(receipt.image_uri)) is not None


def test_a_capture_is_forgotten_by_its_first_digits_without_a_line(
    plant: MemoryPlant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("siad.apps.cli.forget.SETTLE_S", 0.0)
    monkeypatch.setattr("siad.apps.cli.forget.bus_settings", lambda _: BusSettings(bootstrap="embedded:///nowhere"))
    one, two = (plant.put_capture(f"726{digit}" + "0" * 28, data=png(digit)) for digit in (7, 8))
    both = siad("forget", "capture", one.image_id[:12], "--yes")
    assert (both.exit_code, "Nothing was deleted" in both.stderr) == (1, True)  # an image is no capture
    done = siad("forget", "capture", "7267", "--yes")
    assert done.exit_code == 0, done.output
    assert "[info" not in done.output
    assert plant.blobs.head(plant.blobs.key_of(one.image_uri)) is None
    assert plant.blobs.head(plant.blobs.key_of(two.image_uri)) is not None


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"ingest": "x"}', "\x00"])
def test_a_damaged_file_of_siad_up_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "machine.json").write_text(content)
    done = siad("status", "--data", str(tmp_path))
    assert done.exit_code == 1
    assert f"{tmp_path}/machine.json is damaged" in done.stderr


def test_an_ingest_that_is_away_is_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("siad.apps.cli.line.RETRY_FOR_S", 0.0)
    done = siad("line", "list", "--url", "http://127.0.0.1:1")
    assert done.exit_code == 1
    assert "ingest does not respond at http://127.0.0.1:1: no server accepts connections there" in done.stderr
    assert "ConnectError" not in done.stderr


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), "/a"), "/a: "),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/a", None, "/b"), "/a to /b: "),
        (FileNotFoundError("our own text"), "our own text"),
        (ValueError("our own text"), "our own text"),
        (KeyError("ingest"), "ingest"),
        (ValueError(), "the command failed (ValueError); please report this with the command"),
        (httpx.ReadTimeout("x"), "a stage does not respond: it did not answer in time. siad status shows which"),
    ],
)
def test_errors_of_libraries_are_put_into_words(error: Exception, text: str) -> None:
    assert describe_failure(error).startswith(text)


@pytest.mark.parametrize(
    "kind",
    [httpx.ConnectError, httpx.ConnectTimeout, httpx.ReadError, httpx.UnsupportedProtocol, httpx.LocalProtocolError],
)
def test_every_transport_error_has_words(kind: type[httpx.TransportError]) -> None:
    text = describe_transport_error(kind("raw [Errno 111]"))
    assert text
    assert "raw" not in text


def test_a_line_that_does_not_exist_is_told_without_advice_to_register_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def unknown(*_: object, **__: object) -> None:
        raise ProblemError(404, "unknown-line", "line 'press-9' is unknown. Register it: siad line put")

    monkeypatch.setattr("siad.apps.client.IngestClient.request", unknown)
    done = siad("line", "delete", "press-9", "--url", "http://x")
    assert done.exit_code == 1
    assert "line 'press-9' does not exist, or was ended before; nothing was changed" in done.stderr
    assert "Register" not in done.stderr


def test_verdicts_of_a_line_that_does_not_exist_fail(
    monkeypatch: pytest.MonkeyPatch, plant: MemoryPlant, tmp_path: Path
) -> None:
    addresses = dict.fromkeys((*STAGE_PORTS, "bus"), "http://ingest")
    (tmp_path / "machine.json").write_text(json.dumps(addresses))
    monkeypatch.setattr("siad.apps.cli.verdicts.connect_bus", lambda _: plant.bus)
    for status, exit_code, part in ((404, 1, "does not exist"), (200, 0, "no verdicts of line press-9 in the topic")):
        monkeypatch.setattr("httpx.get", lambda *_, status=status, **__: httpx.Response(status))
        done = siad("verdicts", "--line", "press-9", "--data", str(tmp_path))
        assert (done.exit_code, part in done.stderr) == (exit_code, True), done.stderr


def test_refused_settings_leave_no_file_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SIAD_INGEST_HTTP_PORT", "many")
    done = siad("up", "--data", str(tmp_path / "new"))
    assert done.exit_code == 1
    assert "SIAD_INGEST_HTTP_PORT='many' refused" in done.stderr
    assert not (tmp_path / "new").exists()


def test_refused_settings_leave_an_earlier_demo_in_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.upper().startswith("SIAD_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SIAD_TRAINER_EPOCHS", "0")
    monkeypatch.setattr("siad.apps.cli.demo.find_cells", list)
    monkeypatch.setattr("siad.apps.cli.demo.draw_shift", lambda *_, **__: None)
    (tmp_path / "logs").mkdir()
    done = siad("demo", "--data", str(tmp_path))
    assert done.exit_code == 1
    assert "SIAD_TRAINER_EPOCHS='0' refused" in done.stderr
    assert (tmp_path / "logs").exists()
