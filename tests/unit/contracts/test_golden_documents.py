"""Bytes that earlier code wrote: read as the same values, and written again as the same bytes.

The files of ``golden/`` were written before there was one codec. Weights are named by the bytes of their manifest, and
training sets by the bytes of their rows: another byte would be another name.
"""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import pytest

from services.trainer.domain.training_set import MemberRole, MemberUse, TrainingMember, TrainingSet
from siad.audit.snapshot import LedgerSnapshot
from siad.contracts.dead_letters import LetterMark, LetterState
from siad.contracts.deletion import CaptureDeletion, LineDeletion
from siad.contracts.documents import (
    BackfillList,
    BackfillMark,
    LineState,
    RunAttempt,
    RunRequest,
    TrainingSetMembers,
    read_receipt,
    write_receipt,
)
from siad.contracts.events import ImageStored, Intent, LineChanged, SegmenterStatus, WeightsKind
from siad.contracts.expiry import Expiry
from siad.contracts.ids import CaptureId, ImageId
from siad.contracts.json_codec import JsonRecord
from siad.contracts.keys import lease_key, weights_pointer_key
from siad.contracts.manifest import BundlePart, Manifest
from siad.contracts.normals_profile import MisfitReason, OddNormal
from siad.contracts.place import Place
from siad.contracts.quarantine import QuarantineRecord, TaintedKind
from siad.contracts.training_runs import CandidateJudgement, RunOutcome, RunReport, RunSpec, SegmenterFigures
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.store.leases import Leases
from siad.runtime.store.registry import Registry
from siad.runtime.testing.clock import FakeClock
from tests.manifests import PROFILE

GOLDEN = Path(__file__).parent / "golden"
NOON = datetime(2026, 5, 4, 12, 0, 0, 123456, tzinfo=UTC)
THERE = datetime(2026, 5, 4, 21, 0, tzinfo=timezone(timedelta(hours=9)))
POLYGON = (0.0, 0.0, 1.0, 0.0, 1.0, 0.5)
RECEIPT = ImageStored(
    capture_id=CaptureId("ab" * 16),
    image_id=ImageId("cd" * 32),
    image_uri="s3://siad/images/press-1/2026-05-04/x.png",
    size_bytes=7,
    line="press-1",
    product="lid",
    line_revision=3,
    captured_at=THERE,
    received_at=NOON,
    intent=Intent.NORMAL,
    serial="№ 7",
)
SETTINGS = LineChanged(
    line="press-1",
    revision=3,
    product="lid",
    false_reject_budget=0.01,
    shards=4,
    deadline_s=0.0,
    changed_at=NOON,
    method="student-teacher",
    region=POLYGON,
    input_px=512,
)
TEACHER = Manifest(
    kind=WeightsKind.TEACHER,
    method="feature-memory",
    line="press-1",
    product="lid",
    code_version="1.2.0",
    parts=(
        BundlePart(name="bank", sha256="a" * 64, size_bytes=10),
        BundlePart(name="golden", sha256="b" * 64, size_bytes=1),
    ),
    decoder_version=1,
    preprocess_version=2,
    input_px=256,
    image_threshold=2.25,
    pixel_threshold=2,  # an integer, and written as one
    promised_false_reject=None,
    held_out_scores=(1.0, 0.1, 1e-07),
    metrics=(("fit_s", 1.5), ("false_reject_budget", 0.01)),
    normals=("a" * 32, "b" * 32),
    training_set=None,
    parent=None,
)
SEGMENTER = replace(
    TEACHER,
    kind=WeightsKind.SEGMENTER,
    method="unet",
    promised_false_reject=0.02,
    training_set="c" * 64,
    parent="d" * 64,
    left_out=("a" * 32,),
    doubted=("b" * 32,),
    region=POLYGON,
)
RUN = "press-1.lid.000001"
FIGURES = SegmenterFigures(normals=100, defects=20, false_rejects=1, detected=19, image_auroc=0.99, pixel_ap=0.5)
REPORT = RunReport(
    run=RUN,
    weights="e" * 64,
    candidate=FIGURES,
    serving=None,
    epochs=30,
    resumed_from_epoch=0,
    seconds=12.5,
    device="cpu",
)
RUN_SPEC = RunSpec(
    run=RUN,
    line="press-1",
    product="lid",
    training_set="c" * 64,
    teacher="d" * 64,
    serving="",
    ledger_until_at=NOON,
    false_reject_budget=0.01,
    input_px=256,
    epochs=30,
    train_s=600.0,
    frozen_at=THERE,
    region=POLYGON,
)
RECORDS: dict[str, JsonRecord] = {
    "line": LineState(settings=SETTINGS),
    "line_ended": LineState(settings=SETTINGS, is_gone=True),
    "line_depth": LineState(settings=replace(SETTINGS, bits=12, sizes="any")),
    "capture_deletion": CaptureDeletion.of(RECEIPT, at=NOON),
    "line_deletion": LineDeletion(line="press-1", before_at=NOON, forgotten_at=THERE),
    "expiry": Expiry(images_from=date(2026, 1, 2), masks_from=date(2026, 3, 4)),
    "letter_mark": LetterMark(
        letter="inference-3-17",
        state=LetterState.DROPPED,
        at=THERE,
        times=2,
        because="ein Prüfbild",
        is_mended=True,
    ),
    "teacher_manifest": TEACHER,
    "segmenter_manifest": SEGMENTER,
    "run_spec": RUN_SPEC,
    "run_spec_request": replace(RUN_SPEC, request=3),
    "run_spec_residual": replace(RUN_SPEC, segmenter="residual"),
    "run_spec_profile": replace(RUN_SPEC, profile=PROFILE, sizes="any"),
    "teacher_manifest_profile": replace(TEACHER, profile=PROFILE),
    "teacher_manifest_odd": replace(
        TEACHER,
        odd_normals=(
            OddNormal(
                capture_id="a" * 32,
                own="640x480 px, grey",
                others="the other 9: 900x900 px, colour",
                differs_in=(MisfitReason.SIZE, MisfitReason.CHANNELS),
            ),
        ),
    ),
    "segmenter_manifest_profile": replace(SEGMENTER, profile=PROFILE),
    "run_report": REPORT,
    "run_report_beside": replace(REPORT, serving=FIGURES),
    "run_judgement": CandidateJudgement(
        run=RUN, outcome=RunOutcome.REFUSED, reason="image AUROC 0.9 is under 0.95", weights="", judged_at=NOON
    ),
    "run_attempt": RunAttempt(started_at=NOON),
    "quarantine": QuarantineRecord(
        line="press-1", kind=TaintedKind.CAPTURE, subject="ab" * 16, root="ab" * 16, reason="a cloth", tainted_at=NOON
    ),
    "training_set_members_lineage": TrainingSetMembers(
        captures=("ab" * 16,), corrections=(f"{'ab' * 16}-2",), teachers=("cd" * 32,)
    ),
    "run_request": RunRequest(number=3, requested_at=NOON),
    "training_set_members": TrainingSetMembers(captures=("ab" * 16, "ba" * 16), images=("s3://siad/images/a.png",)),
}


def golden(name: str) -> bytes:
    return (GOLDEN / f"{name}.json").read_bytes()


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_is_written_and_read_as_before(name: str) -> None:
    record = RECORDS[name]
    assert record.to_json() == golden(name)
    assert type(record).from_json(golden(name)) == record


def test_a_receipt_is_written_and_read_as_before() -> None:
    assert write_receipt(RECEIPT) == golden("receipt")
    assert read_receipt(golden("receipt")) == RECEIPT


@pytest.mark.parametrize("name", [name for name in RECORDS if "manifest" in name])
def test_a_manifest_that_was_read_keeps_its_name(name: str) -> None:
    assert Manifest.from_json(golden(name)).to_json() == golden(name)


def test_weights_keep_their_names() -> None:
    assert TEACHER.weights == "45346c1eef4e3228119148e50ae8525acd7f60c6c6b95baa6e365be11b0722a8"
    assert SEGMENTER.weights == "0bc14d30fdaa50db3648b70490d6ca169dc86da3ab6686d91eca67e677a0cf75"


def test_training_sets_keep_their_names() -> None:
    drawn = TrainingMember(
        capture_id="ab" * 16,
        image_id="cd" * 32,
        image_uri="s3://siad/images/a.png",
        mask_uri="s3://siad/masks/a.png",
        mask_sha256="9" * 64,
        role=MemberRole.DEFECT,
        use=MemberUse.CHECK,
        weight=0.75,
    )
    normal = replace(drawn, capture_id="ba" * 16, role=MemberRole.NORMAL, mask_uri="", mask_sha256="", weight=1.0)
    digest = "81f3fc830df46955a7a663f487f594e14f5ad92671dfba03b883c47879760bb6"
    assert TrainingSet(members=(drawn, normal)).digest == digest


def test_a_weights_pointer_is_read_as_before() -> None:
    blobs = MemoryBlobs()
    etag = blobs.put(weights_pointer_key("segmenter", "press-1", "lid"), golden("weights_pointer"))
    pointer = Registry(blobs).pointer(WeightsKind.SEGMENTER, Place("press-1", "lid"))
    assert pointer is not None
    assert (pointer.revision, pointer.status, pointer.etag) == (2, SegmenterStatus.WITHDRAWN, etag)
    assert (pointer.released_at, pointer.history) == (NOON, (pointer.weights,))


def test_a_lease_is_read_as_before() -> None:
    blobs, clock = MemoryBlobs(), FakeClock()
    blobs.put(lease_key("fit"), golden("lease"))
    clock.advance((NOON - clock.now()).total_seconds())
    other = Leases(blobs, holder="other", clock=clock)
    assert other.acquire("fit", ttl_s=1) is None
    assert Leases(blobs, holder="host-1:42", clock=clock).acquire("fit", ttl_s=1) is not None


def test_a_capture_ledger_is_read_as_before() -> None:
    snapshot = LedgerSnapshot.from_json(golden("capture_ledger"))
    account = snapshot.ledger.lines["press-1"]
    assert (account.received, account.normal, list(account.waiting), list(account.buried)) == (
        2,
        1,
        ["ab" * 16],
        ["ef" * 16],
    )
    assert (snapshot.as_of, snapshot.behind, snapshot.ledger.settled) == (NOON, 3, 1)
    assert LedgerSnapshot.from_json(snapshot.to_json()) == snapshot


def test_a_backfill_mark_is_read_as_before() -> None:
    assert BackfillMark.from_json(golden("backfill")) == BackfillMark(weights="e" * 64, captures=12)


def test_the_list_of_a_backfill_is_read_as_written() -> None:
    written = BackfillList(captures=("ab" * 16, "cd" * 16))
    assert BackfillList.from_json(written.to_json()) == written
    assert BackfillList.from_json(b'{"captures": ["' + b"ab" * 16 + b'"]}').captures == ("ab" * 16,)
