"""`siad show`: what it prints and saves, and how it fails."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from siad.apps.cli.__main__ import app
from siad.audit.capture_report import LEARNED, SUSPECT, NormalUse
from siad.contracts import keys
from siad.contracts.corrections import CaptureCorrected, CorrectionVerdict, Selection
from siad.contracts.deletion import CaptureDeletion
from siad.contracts.events import Decision, ImageStored, Intent, Region, VerdictGiven
from siad.contracts.expiry import Expiry
from siad.contracts.quarantine import QuarantineRecord, TaintedKind
from siad.runtime.store.quarantine import Quarantine
from tests.unit.apps.cli.events import TEACHER, verdict
from tests.unit.apps.cli.plant import LINE, PRODUCT, RECEIVED, MemoryPlant, png

CAPTURE = "7267b530" + "0" * 24
REGION = Region(points=(10, 10, 30, 10, 30, 20, 10, 20), area_px=200, peak_score=3.2)
Siad = Callable[..., Result]


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> MemoryPlant:
    plant = MemoryPlant()
    monkeypatch.setattr("siad.apps.cli.show.connect", lambda _: plant.connection)
    return plant


def show(*args: str) -> Result:
    return CliRunner().invoke(app, ["show", *args])


def judged(plant: MemoryPlant, receipt: ImageStored) -> VerdictGiven:
    one = replace(
        verdict(2, 3.2), capture_id=receipt.capture_id, image_id=receipt.image_id, image_uri=receipt.image_uri,
        line=LINE, product=PRODUCT, serial="A[1]", regions=(REGION,) * 10, mask_uri=plant.put_mask(receipt, TEACHER),
    )  # fmt: skip
    plant.publish([verdict(1, 0.5), one])
    return one


def test_everything_about_a_capture_is_printed(plant: MemoryPlant) -> None:
    one = judged(plant, plant.put_capture(CAPTURE))
    done = show("7267b530…")
    assert done.exit_code == 0, done.output
    rows = [line.split(None, 1) for line in done.stdout.splitlines()]
    values = dict(reversed(rows))
    assert values["capture"] == CAPTURE
    assert (values["line"], values["product"], values["serial"]) == (LINE, PRODUCT, "A[1]")
    assert values["received"] == "2026-01-02 03:04:05 UTC"
    assert values["verdict"] == "reject at 2026-01-01 00:00:02 UTC"
    assert (values["score"], values["threshold"]) == ("3.2", "1")
    assert values["weights"] == f"teacher {TEACHER}"
    assert one.mask_uri in values["mask"]
    assert rows.count(["region", "x 10..30 y 10..20, 200 px, peak 3.2"]) == 8
    assert ["region", "and 2 more; --json has all"] in rows


def test_json_has_every_field(plant: MemoryPlant) -> None:
    judged(plant, plant.put_capture(CAPTURE))
    body = json.loads(show("7267", "--json").stdout)
    assert body["receipt"]["capture_id"] == CAPTURE
    assert len(body["verdicts"][0]["regions"]) == 10
    mask = {"weights": TEACHER, "kind": "unspecified", "uri": body["verdicts"][0]["mask_uri"], "is_of_verdict": False}
    assert body["masks"] == [mask]


@pytest.mark.parametrize("width", [80, 40])
def test_a_narrow_terminal_cuts_nothing(plant: MemoryPlant, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    receipt = plant.put_capture(CAPTURE)
    one = judged(plant, receipt)
    monkeypatch.setattr("siad.apps.cli.show.console", Console(force_terminal=True, color_system=None, width=width))
    text = show(CAPTURE).stdout
    assert max(map(len, text.splitlines())) <= width
    whole = "".join(text.split())
    for value in (CAPTURE, receipt.image_uri, one.mask_uri, TEACHER, "A[1]"):
        assert value in whole


def test_the_reason_of_an_unknown_and_earlier_verdicts_are_printed(plant: MemoryPlant) -> None:
    receipt = plant.put_capture(CAPTURE)
    base = replace(verdict(2, 0.5), capture_id=receipt.capture_id, line=LINE, product=PRODUCT)
    unknown = replace(verdict(1, 0.0), capture_id=receipt.capture_id, line=LINE, product=PRODUCT,
                      decision=Decision.UNKNOWN, reason="undecodable", weights="")  # fmt: skip
    plant.publish([unknown])
    assert "reason    undecodable" in show("7267").stdout
    plant.publish([base])
    text = show("7267").stdout
    assert "verdict    pass at" in text
    assert "earlier    unknown at" in text


def test_a_normal_without_a_verdict_says_so(plant: MemoryPlant) -> None:
    plant.put_capture(CAPTURE, intent=Intent.NORMAL)
    assert "none: a normal gets no verdict" in show("7267").stdout


def test_a_capture_that_is_not_judged_yet_says_so(plant: MemoryPlant) -> None:
    plant.put_capture(CAPTURE)
    assert "none: not judged yet" in show("7267").stdout


def test_image_mask_and_overlay_are_saved(plant: MemoryPlant, tmp_path: Path) -> None:
    receipt = plant.put_capture(CAPTURE)
    judged(plant, receipt)
    done = show("7267", "--save", str(tmp_path / "new" / "folder"))
    assert done.exit_code == 0, done.output
    files = {path.name: path for path in (tmp_path / "new" / "folder").iterdir()}
    assert set(files) == {
        f"{CAPTURE}.png",
        f"{CAPTURE}.mask-{TEACHER[:12]}.png",
        f"{CAPTURE}.overlay-{TEACHER[:12]}.png",
    }
    assert all(str(path) in done.stderr for path in files.values())
    assert files[f"{CAPTURE}.png"].read_bytes() == png()
    mask, overlay = (cv2.imread(str(files[f"{CAPTURE}.{kind}-{TEACHER[:12]}.png"])) for kind in ("mask", "overlay"))
    assert mask is not None
    assert overlay is not None
    assert np.count_nonzero(mask[:, :, 0]) == 200
    assert np.count_nonzero((overlay != 120).any(axis=2)) == 200


def test_an_image_without_marks_is_saved_alone(plant: MemoryPlant, tmp_path: Path) -> None:
    plant.put_capture(CAPTURE)
    done = show("7267", "--save", str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == [f"{CAPTURE}.png"]
    assert "nothing was marked" in done.stderr


def test_an_image_that_cannot_be_decoded_is_saved_as_it_was_sent(plant: MemoryPlant, tmp_path: Path) -> None:
    plant.put_mask(plant.put_capture(CAPTURE, data=b"no image"), TEACHER)
    done = show("7267", "--save", str(tmp_path))
    assert done.exit_code == 1
    assert (tmp_path / f"{CAPTURE}.png").read_bytes() == b"no image"
    assert f"no overlay of capture {CAPTURE} was drawn" in done.stderr


def test_pseudo_mask_and_mask_of_the_verdict_are_written_apart(plant: MemoryPlant, tmp_path: Path) -> None:
    receipt = plant.put_capture(CAPTURE)
    pseudo = plant.blobs.get(plant.blobs.key_of(plant.put_mask(receipt, TEACHER))).data
    plant.blobs.put(keys.verdict_mask_key(LINE, CAPTURE, TEACHER), pseudo)
    assert show("7267", "--save", str(tmp_path)).exit_code == 0
    stem = f"{CAPTURE}.{{}}-{TEACHER[:12]}"
    names = {path.name for path in tmp_path.iterdir()}
    assert names >= {f"{stem.format(kind)}{end}.png" for kind in ("mask", "overlay") for end in ("", "-verdict")}


def test_an_expired_image_is_told_and_nothing_else_is_lost(plant: MemoryPlant, tmp_path: Path) -> None:
    receipt = plant.put_capture(CAPTURE)
    plant.put_mask(receipt, TEACHER)
    plant.blobs.delete(plant.blobs.key_of(receipt.image_uri))
    plant.blobs.put(keys.expiry_key(LINE), Expiry(images_from=RECEIVED.date().replace(year=2027)).to_json())
    done = show("7267", "--save", str(tmp_path))
    assert done.exit_code == 1
    assert "image expired: received 2026-01-02" in done.stdout
    assert "Neither image nor overlay was written" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [f"{CAPTURE}.mask-{TEACHER[:12]}.png"]


def test_a_deleted_capture_is_told(plant: MemoryPlant) -> None:
    record = CaptureDeletion.of(plant.put_capture(CAPTURE), at=RECEIVED)
    plant.blobs.put(keys.deletion_key(LINE, CAPTURE), record.to_json())
    done = show("7267")
    assert done.exit_code == 1
    assert "was deleted on request at 2026-01-02 03:04:05 UTC" in done.stderr


@pytest.mark.parametrize(
    ("args", "part"),
    [
        (["zzzz"], "'zzzz' is not an id"),
        ([""], "'' is not an id"),
        (["726"], "has 3 digits"),
        (["abcdef"], "begins with 'abcdef'"),
        (["7267", "--line", "press/3"], "--line 'press/3'"),
        (["7267", "--line", "press-9"], "line 'press-9' is unknown; registered lines: press-3"),
    ],
)
def test_a_wrong_argument_is_named_with_its_value(plant: MemoryPlant, args: list[str], part: str) -> None:
    plant.put_capture(CAPTURE)
    done = show(*args)
    assert done.exit_code == 1
    assert part in done.stderr


def test_a_save_folder_that_is_a_file_is_refused_before_anything_is_read(plant: MemoryPlant, tmp_path: Path) -> None:
    plant.blobs.down = True  # reading would fail in another way
    (tmp_path / "file").write_text("")
    for target in ("file", "file/below"):
        done = show("7267", "--save", str(tmp_path / target))
        assert done.exit_code == 1
        assert f"--save {tmp_path / target}" in done.stderr
        assert "nothing was written" in done.stderr


def test_an_unavailable_store_is_told(plant: MemoryPlant) -> None:
    plant.blobs.down = True
    done = show("7267")
    assert done.exit_code == 1
    assert "begins with" not in done.stderr
    assert done.stderr.strip()


def test_an_unavailable_broker_is_told_and_the_rest_is_shown(plant: MemoryPlant) -> None:
    plant.put_capture(CAPTURE)
    plant.bus.down = True
    done = show("7267")
    assert done.exit_code == 0
    assert "verdict   could not be read:" in done.stdout
    assert CAPTURE in done.stdout


def test_what_people_answered_is_printed(plant: MemoryPlant) -> None:
    receipt = plant.put_capture(CAPTURE)
    mask = plant.blobs.uri(keys.correction_mask_key(LINE, CAPTURE, "3f" * 32))
    first = CaptureCorrected(
        capture_id=receipt.capture_id, image_id=receipt.image_id, image_uri=receipt.image_uri, line=LINE,
        product=PRODUCT, serial="", captured_at=RECEIVED, received_at=RECEIVED, revision=9,
        verdict=CorrectionVerdict.GOOD, mask_uri="", mask_sha256="", weights="", score=0.0, threshold=0.0,
        author="ann", corrected_at=RECEIVED, selection=Selection.CHOSEN,
    )  # fmt: skip
    second = replace(first, revision=10, verdict=CorrectionVerdict.DEFECT, mask_uri=mask, mask_sha256="3f" * 32)
    for one in (second, first):
        plant.blobs.put(keys.correction_key(LINE, CAPTURE, one.revision), one.to_json())
    plant.blobs.put(keys.correction_mask_key(LINE, CAPTURE, "3f" * 32), b"mask")
    plant.blobs.put(keys.correction_key(LINE, CAPTURE, 11), b"damaged")
    rows = [line.split(None, 1) for line in show(CAPTURE).stdout.splitlines()]
    assert [value for name, value in rows if name == "answer"] == [
        "good, revision 9, by ann at 2026-01-02 03:04:05 UTC",
        f"defect, revision 10, by ann at 2026-01-02 03:04:05 UTC: {mask}",
    ]
    assert [value for name, value in rows if name == "correction"] == [
        plant.blobs.uri(keys.correction_key(LINE, CAPTURE, 11))
    ]
    said = json.loads(show(CAPTURE, "--json").stdout)
    assert len(said["corrections"]) == 4
    assert [one["verdict"] for one in said["answers"]] == ["good", "defect"]


def test_what_is_in_quarantine_says_since_when_and_why(plant: MemoryPlant) -> None:
    plant.put_capture(CAPTURE)
    assert "quarantine" not in show(CAPTURE).stdout
    record = QuarantineRecord(
        line=LINE, kind=TaintedKind.CAPTURE, subject=CAPTURE, root=CAPTURE, reason="wrong part", tainted_at=RECEIVED
    )
    Quarantine(plant.blobs).put(record)
    rows = [line.split(None, 1) for line in show(CAPTURE).stdout.splitlines()]
    assert ["quarantine", "the capture, since 2026-01-02 03:04:05 UTC: wrong part"] in rows
    assert json.loads(show(CAPTURE, "--json").stdout)["quarantine"][0]["reason"] == "wrong part"


@pytest.mark.parametrize(
    ("use", "text"), [(LEARNED, "teacher aaaa learned from it"), (SUSPECT, "suspect to teacher aaaa")]
)
def test_the_use_of_a_normal_is_a_sentence(
    plant: MemoryPlant, monkeypatch: pytest.MonkeyPatch, use: str, text: str
) -> None:
    plant.put_capture(CAPTURE, intent=Intent.NORMAL)
    monkeypatch.setattr("siad.audit.capture_report._normal_use", lambda *_: NormalUse(weights="aaaa", use=use))
    assert ["use", text] in [line.split(None, 1) for line in show(CAPTURE).stdout.splitlines()]
