"""`siad verdicts`: what it prints on a terminal, in a pipe and as JSON."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from siad.apps.cli.__main__ import app
from siad.contracts.codec import encode
from siad.contracts.events import Decision, Region, VerdictGiven, WeightsKind
from siad.contracts.topics import VERDICT
from siad.runtime.bus.memory import MemoryBus
from siad.runtime.bus.port import Message
from tests.unit.apps.cli.events import SEGMENTER, verdict

REGION = Region(points=(10, 20, 50, 20, 50, 61, 10, 60), area_px=1600, peak_score=3.2)
REJECT = replace(
    verdict(2, 3.2, kind=WeightsKind.SEGMENTER),
    serial="cell[1]",
    regions=(REGION,) * 5,
    mask_uri="s3://siad/masks/l/m.png",
    runner="openvino",
)
UNKNOWN = replace(verdict(3, 0.0), decision=Decision.UNKNOWN, reason="size", detail="the image has 1x1 px", weights="")

Siad = Callable[..., Result]


async def _publish(bus: MemoryBus, *verdicts: VerdictGiven) -> None:
    await bus.create_topics([VERDICT])
    async with bus.producer() as producer:
        await producer.publish([Message(topic=VERDICT.name, key=f"{v.line}/0", value=encode(v)) for v in verdicts])


@pytest.fixture
def siad(monkeypatch: pytest.MonkeyPatch) -> Siad:
    """Run the command on a broker in memory that holds three verdicts."""
    bus = MemoryBus(partitions=3)
    asyncio.run(_publish(bus, verdict(1, 0.5), REJECT, UNKNOWN))
    monkeypatch.setattr("siad.apps.cli.verdicts.connect_bus", lambda _: bus)

    def run(*args: str) -> Result:
        return CliRunner().invoke(app, ["verdicts", *args])

    return run


def test_json_is_one_object_a_line_with_every_field(siad: Siad) -> None:
    first, second = map(json.loads, siad("--json", "--limit", "2").stdout.splitlines())
    assert second["reason"] == UNKNOWN.reason
    assert first["capture_id"] == REJECT.capture_id
    assert first["weights"] == SEGMENTER
    assert (first["decision"], first["weights_kind"]) == ("reject", "segmenter")
    assert first["regions"] == [{"points": list(REGION.points), "area_px": 1600, "peak_score": 3.2}] * 5
    assert first["judged_at"] == "2026-01-01T00:00:02+00:00"


def test_a_pipe_gets_one_line_of_fields_for_each_verdict(siad: Siad) -> None:
    passed, reject, unknown = (line.split("\t") for line in siad().stdout.splitlines())
    assert passed[1:5] == ["pass", "l", "p", ""]
    assert reject[1:] == [
        "reject", "l", "p", "cell[1]", REJECT.capture_id, "3.2", "1", "segmenter", SEGMENTER[:12],
        ";".join(["10,20,50,61"] * 5), REJECT.mask_uri, "", "", REJECT.runner,
    ]  # fmt: skip
    assert unknown[-3:] == [UNKNOWN.reason, UNKNOWN.detail, ""]


def test_a_terminal_gets_columns_and_details(siad: Siad, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("siad.apps.cli.verdicts.console", Console(force_terminal=True, no_color=True, width=80))
    text = siad().stdout
    assert "judged (UTC)" in text
    assert "cell[1]" in text
    assert "5 regions: x 10..50 y 20..61" in text
    assert "and 2 more" in text
    assert f"mask {REJECT.mask_uri}" in text
    assert f"by segmenter {SEGMENTER[:12]}" in text
    assert "size: the image has 1x1 px" in text


def test_a_line_without_verdicts_is_reported(siad: Siad) -> None:
    done = siad("--line", "other")
    assert (done.exit_code, done.stdout) == (0, "")
    assert "no verdicts of line other" in done.stderr


def test_an_invalid_line_is_refused(siad: Siad) -> None:
    done = siad("--line", "No Such")
    assert done.exit_code == 1
    assert "--line" in done.stderr
