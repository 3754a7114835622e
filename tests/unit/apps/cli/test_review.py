"""`siad review` and `siad correct`: what they print, store and refuse."""

import asyncio
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from services.console.adapters.store import RegisteredLines
from services.console.handlers import ConsolePorts
from services.console.routes import ConsoleDependencies, add_routes
from services.console.settings import ConsoleSettings
from siad.apps.cli import review
from siad.apps.cli.__main__ import app
from siad.apps.console_client import ConsoleClient
from siad.apps.local.connection import PlantConnection
from siad.contracts import keys
from siad.contracts.events import LineChanged, SegmenterStatus, WeightsKind
from siad.contracts.pointer import Pointer
from siad.contracts.topics import LINE
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.state_table import StateTable
from siad.runtime.worker import StageProcess
from tests.manifests import make_manifest
from tests.unit.console.world import (
    LINE_NAME,
    PRODUCT,
    WEIGHTS,
    Plant,
    make_ports,
    mask_png,
    name_of,
    put_capture,
    verdict,
)

Siad = Callable[..., Result]
URL = ("--url", "http://console")


@pytest.fixture
def plant() -> Plant:
    plant = Plant()
    asyncio.run(plant.create())
    plant.blobs.put(keys.line_pointer_key(LINE_NAME), b"{}")
    return plant


@pytest.fixture
def ports(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> Iterator[ConsolePorts]:
    """A console that knows nothing yet, reached by both commands."""
    stage = StageProcess("console", settings := ConsoleSettings(), clock=plant.clock)
    producing = plant.bus.producer()
    ports = make_ports(plant.blobs, asyncio.run(producing.__aenter__()), plant.clock)
    table = StateTable(LINE, LineChanged, stage="console")
    lines = RegisteredLines(table, AsyncBlobs(plant.blobs, workers=1))
    add_routes(stage.app, ConsoleDependencies(settings=settings, lines=lines, ports=ports))
    client = partial(ConsoleClient, transport=httpx.ASGITransport(stage.app), retry_for_s=0)
    monkeypatch.setattr("siad.apps.cli.review.ConsoleClient", client)
    monkeypatch.setattr("siad.apps.cli.correct.ConsoleClient", client)
    monkeypatch.setattr("siad.apps.cli.correct.connect", lambda _: PlantConnection(plant.bus, plant.blobs))
    monkeypatch.setattr(review, "console", Console(width=200, color_system=None))
    yield ports
    asyncio.run(producing.__aexit__(None, None, None))


def siad(*args: str) -> Result:
    return CliRunner().invoke(app, [*args, *URL])


def text_of(result: Result) -> str:
    """All that a command printed, in one line."""
    return " ".join(result.output.split())


def judge(plant: Plant, ports: ConsolePorts, count: int) -> None:
    """Captures with rising scores; the threshold is 2."""
    for number in range(1, count + 1):
        receipt = put_capture(plant.blobs, number)
        ports.window.add_verdict(verdict(number, number / 10, image_uri=receipt.image_uri))


def test_a_review_shows_captures_and_what_to_do(plant: Plant, ports: ConsolePorts) -> None:
    judge(plant, ports, 30)
    done = siad("review", LINE_NAME, "--count", "10")
    assert done.exit_code == 0, done.output
    assert f"10 of 30 captures of line {LINE_NAME}, 0 answered before" in done.stdout
    assert done.stdout.count("near threshold") + done.stdout.count("nearest left") == 9
    assert done.stdout.count("drawn at random") == 1
    row = next(line for line in done.stdout.splitlines() if "n20 " in line)
    assert row.split()[:5] == [name_of(20)[:12], "n20", "2", "2", "reject"]
    assert "s3://siad/images/" in row
    assert "--good | --defect [--mask FILE] | --unsure" in done.stdout
    assert "spent on answers so far: 0.0 min" in done.stdout
    assert f"{PRODUCT}: 0 of 10 new corrections, 10 more until the next training" in done.stdout
    assert "good parts" not in done.stdout  # nothing is said before the first answer


def test_answers_are_stored_and_estimated(plant: Plant, ports: ConsolePorts) -> None:
    judge(plant, ports, 30)
    shown = json.loads(siad("review", LINE_NAME, "--json").stdout)
    assert [item["selection"] for item in shown["items"]].count("random") == 2
    for item in shown["items"]:
        word = "--defect" if item["score"] >= 2.2 else "--good"
        done = siad("correct", item["capture_id"], word, "--line", LINE_NAME, "--author", "ann")
        assert done.exit_code == 0, done.output
    assert len(plant.records()) == len(plant.published()) == 20
    assert sum(one.selection == "random" for one in plant.records()) == 2
    assert all(one.score and one.weights for one in plant.records())
    after = siad("review", LINE_NAME, "--count", "50")
    assert f"10 of 30 captures of line {LINE_NAME}, 20 answered before" in after.stdout
    assert "to captures drawn at random" in after.stdout
    assert "with 90% probability" in after.stdout


def test_after_a_release_scores_and_answers_of_earlier_weights_are_named(plant: Plant, ports: ConsolePorts) -> None:
    judge(plant, ports, 30)
    for item in json.loads(siad("review", LINE_NAME, "--json").stdout)["items"]:
        siad("correct", item["capture_id"], "--good", "--line", LINE_NAME, "--author", "ann")
    assert f"scored by {WEIGHTS[:12]}: " in text_of(siad("review", LINE_NAME))
    manifest = make_manifest(line=LINE_NAME, product=PRODUCT)
    pointer = Pointer(
        kind=WeightsKind.TEACHER, line=LINE_NAME, product=PRODUCT, revision=2, weights=manifest.weights,
        released_at=plant.clock.now(), status=SegmenterStatus.SERVING, history=(WEIGHTS,),
    )  # fmt: skip
    plant.blobs.put(keys.manifest_key(LINE_NAME, PRODUCT, manifest.weights), manifest.to_json())
    plant.blobs.put(keys.weights_pointer_key("teacher", LINE_NAME, PRODUCT), pointer.to_json())
    after = text_of(siad("review", LINE_NAME))
    assert "drawn at random, scored by" not in after
    assert after.count("pass *") + after.count("reject *") == 10
    assert "* score, threshold and decision of earlier weights" in after
    now = manifest.weights[:12]
    assert f"20 answers are to captures that only earlier weights scored, not {now}, which judges now" in after


def test_several_captures_take_one_answer_and_a_refused_one_stops_no_other(plant: Plant, ports: ConsolePorts) -> None:
    judge(plant, ports, 3)
    for info in list(plant.blobs.list(keys.captures_prefix(LINE_NAME))):
        if name_of(2) in info.key:
            plant.blobs.delete(info.key)
    names = [name_of(number) for number in (1, 2, 3)]
    done = siad("correct", *names, "--good", "--line", LINE_NAME, "--author", "ann")
    assert done.exit_code == 1
    assert done.stdout.count("good, revision 1, by ann") == 2
    assert f"has no capture {name_of(2)}" in text_of(done)


def test_an_unknown_id_among_several_stores_nothing_and_says_so(plant: Plant, ports: ConsolePorts) -> None:
    judge(plant, ports, 1)
    for unknown, words in (("ffffffff", "begins with 'ffffffff'"), ("xyz", "is not an id")):
        done = siad("correct", name_of(1), unknown, "--good", "--author", "ann")
        assert done.exit_code == 1
        assert words in text_of(done)
        assert "Nothing was done for the other captures either" in text_of(done)
    assert not plant.records()
    assert "either" not in text_of(siad("correct", "ffffffff", "--good", "--author", "ann"))


def test_a_mask_goes_with_one_defect(plant: Plant, ports: ConsolePorts, tmp_path: Path) -> None:
    judge(plant, ports, 2)
    mask = tmp_path / "mask.png"
    mask.write_bytes(mask_png())
    base = ["correct", name_of(1), "--line", LINE_NAME, "--author", "ann"]
    done = siad(*base, "--defect", "--mask", str(mask))
    assert "defect, with a mask, revision 1" in text_of(done), done.output
    assert plant.records()[0].mask_sha256
    for args, words in (
        ([*base, "--good", "--mask", str(mask)], "it shows a defect"),
        ([*base[:2], name_of(2), *base[2:], "--defect", "--mask", str(mask)], "2 captures were named"),
        ([*base, "--defect", "--mask", str(tmp_path / "none.png")], "none.png"),
        ([*base, "--good", "--defect"], "--good and --defect contradict each other"),
        (base, "no answer was given"),
    ):
        refused = siad(*args)
        assert refused.exit_code == 2
        assert words in text_of(refused).replace("│ ", "").replace(" │", ""), refused.output
    mask.write_bytes(b"x")
    refused = siad(*base, "--defect", "--mask", str(mask))
    assert (refused.exit_code, "mask refused" in text_of(refused)) == (1, True)
    assert len(plant.records()) == 1


def test_an_answer_is_undone_and_its_history_is_shown(plant: Plant, ports: ConsolePorts) -> None:
    judge(plant, ports, 1)
    assert "no correction yet" in siad("correct", name_of(1), "--show", "--line", LINE_NAME).output
    for word in ("--good", "--unsure"):
        assert siad("correct", name_of(1), word, "--author", "ann").exit_code == 0
    stale = siad("correct", name_of(1), "--defect", "--if-revision", "1")
    assert stale.exit_code == 1
    assert "--if-revision is for revision 1 of capture" in text_of(stale)
    assert f"which is at revision 2; nothing was stored. See its revisions: siad correct {name_of(1)[:12]} --show" in (
        text_of(stale)
    )
    shown = siad("correct", name_of(1), "--show")
    assert [line.split(": ")[1].split(",")[0] for line in shown.stdout.splitlines()] == ["good", "unsure"]


def test_nothing_to_answer_says_why(plant: Plant, ports: ConsolePorts) -> None:
    done = siad("review", LINE_NAME)
    assert "no capture has a score yet" in text_of(done)
    judge(plant, ports, 1)
    siad("correct", name_of(1), "--good", "--author", "ann")
    assert "the only capture with a score is answered" in text_of(siad("review", LINE_NAME))
    absent = siad("review", LINE_NAME, "--product", "nope")
    assert f"no capture of product 'nope' has a score; captures of these have: {PRODUCT}" in text_of(absent)
    unknown = siad("review", "press-9")
    assert (unknown.exit_code, "line 'press-9' is unknown" in text_of(unknown)) == (1, True)


def test_an_id_is_found_by_its_first_digits(plant: Plant, ports: ConsolePorts) -> None:
    judge(plant, ports, 1)
    ambiguous = siad("correct", "0000", "--good")
    assert ambiguous.exit_code == 0, ambiguous.output
    put_capture(plant.blobs, 2)
    assert siad("correct", "0000", "--good").exit_code == 1
    assert siad("correct", "xyz", "--good").exit_code == 1


def test_a_console_of_an_earlier_version_tells_nothing_of_labour() -> None:
    assert review.describe_labour(None) == []
