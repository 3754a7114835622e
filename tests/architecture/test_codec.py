"""Dataclasses and protobuf messages cannot drift apart; what is on the wire stays what it is."""

import subprocess
import sys
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from siad.contracts import commands, corrections, events, marked_objects
from siad.contracts.codec import MESSAGES, decode, encode
from siad.contracts.commands import BY_MAX, CommandGiven, CommandKind, CommandOutcome
from siad.contracts.commands import REASON_MAX as COMMAND_REASON_MAX
from siad.contracts.corrections import (
    AUTHOR_MAX,
    REASON_MAX,
    CaptureCorrected,
    CorrectionVerdict,
    Selection,
    ThresholdSet,
)
from siad.contracts.errors import PoisonError
from siad.contracts.events import (
    POINTS_MAX,
    REGIONS_MAX,
    DeadLetter,
    Decision,
    ImageStored,
    Intent,
    LineChanged,
    Origin,
    PseudoMaskCreated,
    Region,
    SegmenterReleased,
    SegmenterStatus,
    TeacherReleased,
    VerdictGiven,
    WeightsKind,
)
from siad.contracts.ids import CaptureId, ImageId, WeightsId
from siad.contracts.marked_objects import (
    CLASS_NAME_MAX,
    CLASSES_MAX,
    EFFORT_MAX,
    EFFORT_S_MAX,
    OBJECTS_MAX,
    SIDE_MAX,
    MarkedObject,
    ObjectFate,
    ObjectOrigin,
)
from siad.contracts.trials import ShadowJudged, TrialChanged, TrialPhase
from siad.runtime.bus.port import DEAD_LETTER_BYTES_MAX, MESSAGE_BYTES_MAX

ROOT = Path(__file__).parents[2]
NOON = datetime(2026, 1, 2, 12, 0, 0, 123_456, tzinfo=UTC)
CAPTURE, IMAGE, WEIGHTS = CaptureId("c" * 32), ImageId("a" * 64), WeightsId("d" * 64)
SLUG = "s" * 63
URI = "s3://" + "u" * 1000  # an S3 key has at most 1024 bytes
OUTLINE = tuple(65_535 - at for at in range(2 * POINTS_MAX))  # px; no image has a longer side
REGIONS = (Region(points=OUTLINE, area_px=2**40, peak_score=1.5),) * REGIONS_MAX
ABOUT: dict[str, Any] = {
    "capture_id": CAPTURE,
    "image_id": IMAGE,
    "image_uri": URI,
    "line": SLUG,
    "product": SLUG,
    "captured_at": NOON,
    "received_at": NOON,
}

LARGEST: tuple[Any, ...] = (
    LineChanged(
        line=SLUG,
        revision=2**62,
        product=SLUG,
        false_reject_budget=0.05,
        shards=64,
        deadline_s=0.5,
        changed_at=NOON,
        classes=tuple(f"{digit}" + "\U0001d11e" * (CLASS_NAME_MAX - 1) for digit in range(CLASSES_MAX)),
    ),
    ImageStored(**ABOUT, size_bytes=2**40, line_revision=2**62, intent=Intent.INSPECT, serial="ß" * 128),
    PseudoMaskCreated(
        **ABOUT,
        mask_uri=URI,
        mask_sha256="b" * 64,
        weights=WEIGHTS,
        score=0.5,
        threshold=0.25,
        defect_ratio=0.125,
        regions=REGIONS,
        confidence=0.75,
        serial="ß" * 128,
        image_hash="c" * 64,
    ),
    TeacherReleased(line=SLUG, product=SLUG, revision=2**62, weights=WEIGHTS, released_at=NOON),
    SegmenterReleased(
        line=SLUG, product=SLUG, revision=2**62, weights=WEIGHTS, released_at=NOON, status=SegmenterStatus.WITHDRAWN
    ),
    VerdictGiven(
        **ABOUT,
        line_revision=2**62,
        serial="ß" * 128,
        decision=Decision.REJECT,
        reason="",
        score=0.5,
        threshold=0.25,
        regions=REGIONS,
        mask_uri=URI,
        weights=WEIGHTS,
        weights_kind=WeightsKind.SEGMENTER,
        origin=Origin.STREAM,
        judged_at=NOON,
        wait_s=0.1,
        fetch_s=0.2,
        score_s=0.3,
    ),
    TrialChanged(
        line=SLUG,
        product=SLUG,
        revision=2**62,
        trial=2**62,
        phase=TrialPhase.CANARY,
        candidate=WEIGHTS,
        serving=WEIGHTS,
        serving_kind=WeightsKind.TEACHER,
        canary_share=0.125,
        changed_at=NOON,
    ),
    ShadowJudged(
        capture_id=ABOUT["capture_id"],
        line=SLUG,
        product=SLUG,
        received_at=NOON,
        trial=2**62,
        phase=TrialPhase.SHADOW,
        candidate=WEIGHTS,
        serving=WEIGHTS,
        candidate_decision=Decision.REJECT,
        candidate_score=0.5,
        candidate_threshold=0.25,
        serving_decision=Decision.PASS,
        serving_score=0.125,
        serving_threshold=0.25,
        serving_margin=-0.5,
        mask_disagreement=1.0,
        decided_by_candidate=False,
        spent_s=0.0625,
        judged_at=NOON,
    ),
    CaptureCorrected(
        **ABOUT,
        serial="ß" * 128,
        revision=2**62,
        verdict=CorrectionVerdict.DEFECT,
        mask_uri=URI,
        mask_sha256="b" * 64,
        weights=WEIGHTS,
        score=0.5,
        threshold=0.25,
        author="ß" * AUTHOR_MAX,
        corrected_at=NOON,
        selection=Selection.NEAREST,
        objects=(
            MarkedObject(
                x=SIDE_MAX,
                y=SIDE_MAX,
                width=SIDE_MAX,
                height=SIDE_MAX,
                area_px=SIDE_MAX**2,
                origin=ObjectOrigin.PERSON,
                fate=ObjectFate.DELETED,
                class_name="\U0001d11e" * CLASS_NAME_MAX,
            ),
        )
        * OBJECTS_MAX,
        active_s=EFFORT_S_MAX,
        keys=EFFORT_MAX,
        presses=EFFORT_MAX,
    ),
    ThresholdSet(
        line=SLUG,
        product=SLUG,
        weights=WEIGHTS,
        revision=2**62,
        image_threshold=0.5,
        budget=0.05,
        estimated=0.04,
        low=0.01,
        high=0.11,
        normals=2**40,
        stream_captures=2**40,
        answers=2**40,
        reason="ß" * REASON_MAX,
        set_at=NOON,
        advice="ß" * REASON_MAX,
    ),
    CommandGiven(
        command_id="c" * 32,
        line=SLUG,
        product=SLUG,
        kind=CommandKind.ROLLBACK,
        by="ß" * BY_MAX,
        given_at=NOON,
        reason="ß" * COMMAND_REASON_MAX,
        weights=WEIGHTS,
        moves=WeightsKind.SEGMENTER,
        moves_revision=2**62,
    ),
    DeadLetter(
        topic="siad.image.v1",
        partition=3,
        offset=2**62,
        key=b"k" * 256,
        payload=b"\xff" * MESSAGE_BYTES_MAX,
        kind="poison",
        reason="r" * 2000,
        buried_at=NOON,
    ),
)
TEACHER = TeacherReleased(line="l1", product="p1", revision=2, weights=WeightsId("5e" * 32), released_at=NOON)
# by hand, from the wire format: tag, length, value
GOLDEN = "0a026c31120270311802" + "2240" + "3565" * 32 + "2a0b" + "08c0e6deca06" + "108094ef3a"
CORRECTED = CaptureCorrected(
    capture_id=CaptureId("0c" * 16),
    image_id=ImageId("1d" * 32),
    image_uri="s3://b/i",
    line="l1",
    product="p1",
    serial="n7",
    captured_at=NOON,
    received_at=NOON,
    revision=3,
    verdict=CorrectionVerdict.DEFECT,
    mask_uri="s3://b/m",
    mask_sha256="3f" * 32,
    weights="5e" * 32,
    score=2.0,
    threshold=1.5,
    author="ann",
    corrected_at=NOON,
    selection=Selection.RANDOM,
)
MOMENT = "0b" + "08c0e6deca06" + "108094ef3a"
# by hand, as above; 18 fields in order, an enum and a revision are varints, a score is 8 bytes
GOLDEN_CORRECTION = (
    "0a20" + "3063" * 16 + "1240" + "3164" * 32 + "1a08" + b"s3://b/i".hex() + "22026c31" + "2a027031" + "32026e37"
    "3a"
    + MOMENT
    + "42"
    + MOMENT
    + "4803"
    + "5002"
    + "5a08"
    + b"s3://b/m".hex()
    + "6240"
    + "3366" * 32
    + "6a40"
    + "3565" * 32
    + "71"
    + "0000000000000040"
    + "79"
    + "000000000000f83f"
    + "820103"
    + b"ann".hex()
    + "8a01"
    + MOMENT
    + "900102"
)
THRESHOLD_SET = ThresholdSet(
    line="l1",
    product="p1",
    weights=WeightsId("5e" * 32),
    revision=2,
    image_threshold=1.5,
    budget=0.5,
    estimated=0.25,
    low=0.125,
    high=0.5,
    normals=10,
    stream_captures=38,
    answers=7,
    reason="ok",
    set_at=NOON,
)
GOLDEN_THRESHOLD = (
    "0a026c31" + "12027031" + "1a40" + "3565" * 32 + "2002" + "29000000000000f83f" + "31000000000000e03f"
    "39000000000000d03f" + "41000000000000c03f" + "49000000000000e03f" + "500a" + "5826" + "6007" + "6a026f6b"
    "72" + MOMENT
)
COMMAND = CommandGiven(
    command_id="0c" * 16,
    line="l1",
    product="p1",
    kind=CommandKind.ROLLBACK,
    by="ann",
    given_at=NOON,
    reason="ok",
    weights="5e" * 32,
    moves=WeightsKind.SEGMENTER,
    moves_revision=3,
)
GOLDEN_COMMAND = (
    "0a20" + "3063" * 16 + "12026c31" + "1a027031" + "2004" + "2a03" + b"ann".hex() + "32" + MOMENT + "3a026f6b"
    "4240" + "3565" * 32 + "4802" + "5003"
)
# by hand: field 19 (objects) with its eight fields, then the effort in fields 20 to 22
GOLDEN_MARKS = "9a011408011002180320042805300238044204" + b"dent".hex() + "a101000000000000f83f" + "a80107" + "b00108"
# by hand: field 11 (bits) is 12, field 12 (sizes) is "any"
LINE_END = "580c" + "6203616e79"
# by hand: field 23 (detail)
VERDICT_END = "ba0108" + b"1x1 px o".hex()
# by hand: fields 31 to 34 (pixel_threshold, decode_s, mask_s, publish_wait_s), doubles
VERDICT_STEPS = (
    "f901" + "000000000000d03f" + "8102" + "000000000000e03f" + "8902" + "000000000000f03f" + "9102" + "00" * 7 + "40"
)


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
def test_fields_agree(kind: type[Any]) -> None:
    assert [field.name for field in MESSAGES[kind].DESCRIPTOR.fields] == [field.name for field in fields(kind)]


def test_every_event_has_a_message_and_every_message_an_event() -> None:
    named = [value for module in (events, corrections, marked_objects, commands) for value in vars(module).values()]
    declared = {one for one in named if isinstance(one, type) and hasattr(one, "__dataclass_fields__")} - {
        CommandOutcome
    }
    declared |= {ShadowJudged, TrialChanged}  # beside records of trials, which no topic carries
    assert declared - {CommandOutcome} == set(MESSAGES)  # an outcome is a record, which no topic carries
    wire = next(iter(MESSAGES.values())).DESCRIPTOR.file.message_types_by_name
    assert set(wire) == {kind.__name__ for kind in MESSAGES}


def test_the_largest_of_every_event_is_held_here() -> None:
    assert {type(event) for event in LARGEST} == set(MESSAGES) - {Region, MarkedObject}


@pytest.mark.parametrize("event", LARGEST, ids=lambda event: type(event).__name__)
def test_every_event_fits_its_topic_at_its_largest(event: Any) -> None:
    most = DEAD_LETTER_BYTES_MAX if isinstance(event, DeadLetter) else MESSAGE_BYTES_MAX
    assert len(encode(event)) <= most


@pytest.mark.parametrize("event", LARGEST, ids=lambda event: type(event).__name__)
def test_what_is_written_is_read_and_written_alike(event: Any) -> None:
    assert decode(type(event), encode(event)) == event
    assert encode(decode(type(event), encode(event))) == encode(event)


def test_bytes_are_frozen() -> None:
    assert encode(TEACHER).hex() == GOLDEN


def test_bytes_of_what_people_decide_are_frozen() -> None:
    assert encode(CORRECTED).hex() == GOLDEN_CORRECTION
    assert encode(THRESHOLD_SET).hex() == GOLDEN_THRESHOLD
    assert encode(COMMAND).hex() == GOLDEN_COMMAND


def test_bytes_of_marks_are_frozen() -> None:
    mark = MarkedObject(
        x=1, y=2, width=3, height=4, area_px=5, origin=ObjectOrigin.PERSON, fate=ObjectFate.ADDED, class_name="dent"
    )
    line = replace(next(event for event in LARGEST if isinstance(event, LineChanged)), classes=())
    assert encode(replace(line, classes=("dent",))).hex() == encode(line).hex() + "820104" + b"dent".hex()
    told = replace(CORRECTED, objects=(mark,), active_s=1.5, keys=7, presses=8)
    assert encode(told).hex() == GOLDEN_CORRECTION + GOLDEN_MARKS


@pytest.mark.parametrize("document", [CORRECTED, THRESHOLD_SET], ids=lambda one: type(one).__name__)
def test_stored_documents_of_what_people_decide_are_frozen(document: CaptureCorrected | ThresholdSet) -> None:
    path = ROOT / f"tests/golden/{type(document).__name__}.json"
    assert document.to_json() == path.read_bytes()
    assert type(document).from_json(path.read_bytes()) == document


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"verdict": CorrectionVerdict.GOOD}, "a mask belongs to a defect"),
        ({"mask_sha256": ""}, "mask_sha256"),
        ({"mask_uri": ""}, "mask_uri"),
        ({"revision": 0}, "revision 0 is less than 1"),
        ({"author": ""}, "author has 0 characters"),
        ({"weights": "x"}, "weights"),
        ({"score": float("nan")}, "score"),
    ],
)
def test_a_correction_that_contradicts_itself_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        replace(CORRECTED, **changes)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"low": 0.3}, "no estimate in an interval"), ({"budget": 1.0}, "budget"), ({"answers": -1}, "none may be below")],
)
def test_a_threshold_that_contradicts_itself_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        replace(THRESHOLD_SET, **changes)


def test_fields_that_were_added_follow_the_bytes_of_before() -> None:
    line = replace(next(event for event in LARGEST if isinstance(event, LineChanged)), classes=())
    assert encode(replace(line, bits=12, sizes="any")).hex() == encode(line).hex() + LINE_END
    verdict = next(event for event in LARGEST if isinstance(event, VerdictGiven))
    assert encode(replace(verdict, detail="1x1 px o")).hex() == encode(verdict).hex() + VERDICT_END
    steps = replace(verdict, pixel_threshold=0.25, decode_s=0.5, mask_s=1.0, publish_wait_s=2.0)
    assert encode(steps).hex() == encode(verdict).hex() + VERDICT_STEPS


@pytest.mark.parametrize("kind", [type(event) for event in LARGEST], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("payload", [b"", None, b"\xff\xff\xff"], ids=["empty", "tombstone", "garbage"])
def test_bytes_that_are_no_event_are_poison(kind: type[Any], payload: bytes | None) -> None:
    with pytest.raises(PoisonError, match=kind.__name__):
        decode(kind, payload)


@pytest.mark.parametrize("event", LARGEST, ids=lambda event: type(event).__name__)
def test_a_value_that_only_a_newer_writer_knows_reads_as_unspecified(event: Any) -> None:
    message = MESSAGES[type(event)].FromString(encode(event))
    enums = [field.name for field in message.DESCRIPTOR.fields if field.enum_type is not None]
    for name in enums:
        setattr(message, name, 99)
    read = decode(type(event), message.SerializeToString())
    assert all(getattr(read, name).value == "unspecified" for name in enums)
    assert replace(read, **{name: getattr(event, name) for name in enums}) == event


def test_fields_that_only_a_newer_writer_knows_are_ignored() -> None:
    later = encode(TEACHER) + bytes([15 << 3 | 2, 3]) + b"new"  # field 15, three bytes
    assert decode(TeacherReleased, later) == TEACHER


def test_generated_code_is_what_the_protos_say(tmp_path: Path) -> None:
    plugin = Path(sys.executable).with_name("protoc-gen-mypy")
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I", "protos", f"--plugin=protoc-gen-mypy={plugin}"]
    command += [f"--python_out={tmp_path}", f"--mypy_out={tmp_path}", "siad/v1/events.proto"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    for name in ("events_pb2.py", "events_pb2.pyi"):
        fresh, kept = (tmp_path / "siad/v1" / name).read_text(), (ROOT / "siad/v1" / name).read_text()
        assert fresh == kept, f"siad/v1/{name} is not what protos/ say; run `make protos`"
