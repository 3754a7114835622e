"""`siad verdict`: which captures a name means, and what is printed and saved. Judging again is an integration test."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from siad.apps.cli.__main__ import app
from siad.contracts.events import ImageStored, VerdictGiven
from tests.unit.apps.cli.events import TEACHER, verdict
from tests.unit.apps.cli.plant import LINE, PRODUCT, MemoryPlant, png

FIRST, SECOND = "7267b530" + "0" * 24, "8267b530" + "0" * 24


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> MemoryPlant:
    plant = MemoryPlant()
    monkeypatch.setattr("siad.apps.cli.verdict.connect", lambda _: plant.connection)
    return plant


def ask(*args: str) -> Result:
    return CliRunner().invoke(app, ["verdict", *args])


def judged(receipt: ImageStored, number: int, score: float) -> VerdictGiven:
    return replace(
        verdict(number, score), capture_id=receipt.capture_id, image_id=receipt.image_id, image_uri=receipt.image_uri,
        line=LINE, product=PRODUCT, serial="A[1]", runner="openvino", pixel_threshold=0.75, line_revision=4,
        wait_s=0.5, fetch_s=0.003, decode_s=0.002, score_s=0.06, mask_s=0.004, publish_wait_s=0.005,
    )  # fmt: skip


def test_every_capture_of_a_serial_is_shown_with_its_verdict(plant: MemoryPlant) -> None:
    receipts = [plant.put_capture(FIRST), plant.put_capture(SECOND, data=png(90))]
    plant.publish([verdict(3, 0.1), *(judged(one, n, n - 0.5) for n, one in enumerate(receipts, start=1))])
    done = ask("A[1]")
    assert done.exit_code == 0, done.output
    blocks = [
        {line[:9].strip(): line[9:].strip() for line in block.splitlines()} for block in done.stdout.split("\n\n")
    ]
    assert [block["capture"] for block in blocks] == [f"{one} of {LINE}/{PRODUCT}" for one in (FIRST, SECOND)]
    passed, rejected = blocks
    assert passed["verdict"] == "pass at 2026-01-01 00:00:01 UTC"
    assert rejected["score"] == "1.5; threshold 1, of pixels 0.75, of the manifest"
    assert rejected["weights"] == f"teacher {TEACHER} by openvino"
    assert rejected["settings"] == "revision 4"
    assert rejected["took"] == (
        "waiting 500.0 ms, fetching 1.0 ms, decoding 2.0 ms, predicting 60.0 ms, writing the mask 4.0 ms, "
        "waiting to publish 5.0 ms"
    )


def test_what_the_threshold_was_expected_to_reject_is_shown(plant: MemoryPlant) -> None:
    given = judged(plant.put_capture(FIRST), 1, 3.2)
    given = replace(given, false_rejects=0.055, false_rejects_low=0.003, false_rejects_high=0.292)
    plant.publish([replace(given, advice="20 more normals would sharpen it")])
    [line] = [line for line in ask("7267").stdout.splitlines() if line.startswith("expects")]
    assert line.split(maxsplit=1)[1] == (
        "about 5.5% of good parts to be rejected, with 90% probability 0.3% to 29.2%. 20 more normals would sharpen it"
    )


def test_a_verdict_without_an_estimate_expects_nothing(plant: MemoryPlant) -> None:
    plant.publish([judged(plant.put_capture(FIRST), 1, 3.2)])
    assert "expects" not in ask("7267").stdout


def test_where_no_weights_serve_the_receipt_says_so(plant: MemoryPlant) -> None:
    plant.publish([judged(plant.put_capture(FIRST), 1, 3.2)])
    (one,) = json.loads(ask("7267", "--json").stdout)["captures"]
    assert (one["today"]["decision"], one["verdicts"][0]["score"]) == ("unknown", 3.2)
    assert "no weights serve line press-3" in one["today"]["reason"]
    assert one["agreement"] == "no: reject then, unknown today"
    assert one["lineage"].startswith("unknown: the manifest of aaaaaaaaaaaa")


def test_the_first_verdict_counts(plant: MemoryPlant) -> None:
    receipt = plant.put_capture(FIRST)
    plant.publish([judged(receipt, 1, 3.2), judged(receipt, 2, 0.2)])
    text = ask("7267").stdout
    assert "reject at 2026-01-01 00:00:01 UTC" in text
    assert "1 times; the first verdict counts" in text


def test_a_capture_whose_verdict_is_gone_is_found_by_its_id(plant: MemoryPlant) -> None:
    plant.put_capture(FIRST)
    assert "none in the topic" in ask(FIRST).stdout


def test_receipt_and_image_are_saved(plant: MemoryPlant, tmp_path: Path) -> None:
    plant.publish([judged(plant.put_capture(FIRST), 1, 0.2)])
    done = ask("7267", "--save", str(tmp_path))
    assert done.exit_code == 0, done.output
    assert {path.name for path in tmp_path.iterdir()} == {f"{FIRST}.receipt.json", f"{FIRST}.png"}
    saved = json.loads((tmp_path / f"{FIRST}.receipt.json").read_text())
    assert saved["receipt"]["capture_id"] == FIRST


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["nothing"], "'nothing' is unknown. Searched: the ids of all captures and images of this plant"),
        (["nothing"], "serial numbers of the 1 verdicts"),
        (["abcd"], "'abcd' is unknown. Searched: the ids"),
        (["A[1]", "--line", "other"], "line 'other' is unknown"),
    ],
)
def test_an_unknown_name_says_what_was_searched(plant: MemoryPlant, args: list[str], told: str) -> None:
    plant.publish([judged(plant.put_capture(FIRST), 1, 0.2)])
    done = ask(*args)
    assert done.exit_code == 1
    assert told in done.stderr
