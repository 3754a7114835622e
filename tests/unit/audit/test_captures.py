"""Search for a capture, and what is reported about it."""

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siad.audit.capture_report import LEFT_OUT, image_problem, read_report
from siad.audit.captures import find_matches, parse_prefix, read_capture, require_one
from siad.contracts import keys
from siad.contracts.deletion import CaptureDeletion
from siad.contracts.documents import write_receipt
from siad.contracts.errors import CorruptError, TransientError
from siad.contracts.events import ImageStored, Intent, WeightsKind
from siad.contracts.expiry import Expiry
from siad.contracts.ids import CaptureId, ImageId
from siad.contracts.manifest import part_of
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.store.registry import Registry
from tests.manifests import make_manifest

NOW = datetime.now(UTC)
LINE, PRODUCT = "press-3", "cap-28mm"
CAPTURE = CaptureId("7267b530" + "0" * 24)
IMAGE = ImageId("beef" * 16)


def put_capture(blobs: MemoryBlobs, capture_id: str = CAPTURE, *, line: str = LINE, image_id: str = IMAGE,
                intent: Intent = Intent.INSPECT) -> ImageStored:  # fmt: skip
    key = keys.image_key(line, NOW, image_id, "png")
    blobs.put(key, b"image")
    receipt = ImageStored(
        capture_id=CaptureId(capture_id), image_id=ImageId(image_id), image_uri=blobs.uri(key), size_bytes=5,
        line=line, product=PRODUCT, line_revision=1, captured_at=NOW, received_at=NOW, intent=intent, serial="A1",
    )  # fmt: skip
    blobs.put(keys.capture_key(line, capture_id), write_receipt(receipt))
    blobs.put(keys.line_pointer_key(line), b"{}")
    return receipt


@pytest.fixture
def blobs() -> MemoryBlobs:
    return MemoryBlobs()


@pytest.mark.parametrize("text", ["7267", "7267b530", "7267b530…", " 7267B530... ", CAPTURE, "beefbe", IMAGE])
def test_first_digits_of_capture_or_image_find_it(blobs: MemoryBlobs, text: str) -> None:
    receipt = put_capture(blobs)
    put_capture(blobs, "0" * 32, image_id="c" * 64)
    match = require_one(find_matches(blobs, parse_prefix(text)), text)
    assert read_capture(blobs, match) == receipt


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "is not an id"),
        ("press-3", "is not an id"),
        ("726", "has 3 digits"),
        ("a" * 65, "has 65 digits"),
        ("…", "is not"),
    ],
)
def test_a_text_that_begins_no_id_is_refused_with_its_value(text: str, part: str) -> None:
    with pytest.raises(ValueError, match=part) as refusal:
        parse_prefix(text)
    assert repr(text) in str(refusal.value)


@given(st.text(max_size=80))
def test_every_text_is_a_prefix_or_refused(text: str) -> None:
    try:
        prefix = parse_prefix(text)
    except ValueError as error:
        assert repr(text) in str(error)  # noqa: PT017 - both outcomes are right
    else:
        assert 4 <= len(prefix) <= 64
        assert set(prefix) <= set("0123456789abcdef")


def test_an_unknown_id_names_the_remedy(blobs: MemoryBlobs) -> None:
    put_capture(blobs)
    with pytest.raises(LookupError, match=r"begins with 'abcd'.*siad verdicts"):
        require_one(find_matches(blobs, "abcd"), "abcd")


def test_an_ambiguous_id_names_the_captures(blobs: MemoryBlobs) -> None:
    for number in range(7):
        put_capture(blobs, f"7267{number:028x}", image_id=f"{number:064x}")
    with pytest.raises(LookupError, match=rf"names 7 captures: 7267{0:028x} of line press-3, .* and 2 more"):
        require_one(find_matches(blobs, "7267"), "7267")


def test_an_image_of_two_captures_names_both(blobs: MemoryBlobs) -> None:
    put_capture(blobs)
    put_capture(blobs, "1" * 32)
    with pytest.raises(LookupError, match=f"{'1' * 32} of line press-3, {CAPTURE}"):
        require_one(find_matches(blobs, IMAGE), IMAGE)


def test_one_line_is_searched_where_it_is_named(blobs: MemoryBlobs) -> None:
    put_capture(blobs)
    put_capture(blobs, line="press-4")
    assert [match.line for match in find_matches(blobs, "7267")] == ["press-3", "press-4"]
    assert [match.line for match in find_matches(blobs, "7267", line="press-4")] == ["press-4"]
    with pytest.raises(LookupError, match="line 'press-5' is unknown; registered lines: press-3, press-4"):
        find_matches(blobs, "7267", line="press-5")


def test_a_deleted_capture_says_when_it_was_deleted(blobs: MemoryBlobs) -> None:
    record = CaptureDeletion.of(put_capture(blobs), at=datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC))
    blobs.delete(keys.capture_key(LINE, CAPTURE))
    blobs.put(keys.deletion_key(LINE, CAPTURE), record.to_json())
    match = require_one(find_matches(blobs, "7267b530"), "7267b530")
    with pytest.raises(LookupError, match="was deleted on request at 2026-05-04 03:02:01 UTC"):
        read_capture(blobs, match)


def test_a_normal_is_found_after_its_receipt_expired(blobs: MemoryBlobs) -> None:
    receipt = put_capture(blobs, intent=Intent.NORMAL)
    blobs.delete(keys.capture_key(LINE, CAPTURE))
    blobs.put(keys.normal_key(LINE, PRODUCT, CAPTURE), write_receipt(receipt))
    assert read_capture(blobs, require_one(find_matches(blobs, "7267"), "7267")) == receipt


def test_a_damaged_receipt_is_named(blobs: MemoryBlobs) -> None:
    put_capture(blobs)
    blobs.put(keys.capture_key(LINE, CAPTURE), b"{")
    with pytest.raises(CorruptError, match=f"receipt of capture {CAPTURE}"):
        read_capture(blobs, require_one(find_matches(blobs, CAPTURE), CAPTURE))


def test_an_unavailable_store_is_not_an_unknown_id(blobs: MemoryBlobs) -> None:
    blobs.down = True
    with pytest.raises(TransientError):
        find_matches(blobs, "7267")


def test_a_missing_image_is_told_from_an_expired_one(blobs: MemoryBlobs) -> None:
    receipt = put_capture(blobs)
    assert image_problem(blobs, receipt) == ""
    blobs.delete(blobs.key_of(receipt.image_uri))
    assert "is missing" in image_problem(blobs, receipt)
    blobs.put(keys.expiry_key(LINE), Expiry(images_from=date(2999, 1, 1)).to_json())
    assert "expired" in image_problem(blobs, receipt)
    assert "another bucket" in image_problem(blobs, replace(receipt, image_uri="s3://other/x.png"))


@pytest.mark.parametrize("role", ["left_out", "doubted", "normals", None])
def test_the_use_of_a_normal_is_read_from_the_teacher(blobs: MemoryBlobs, role: str | None) -> None:
    receipt = put_capture(blobs, intent=Intent.NORMAL)
    assert read_report(blobs, receipt, ()).normal_use is None
    release_teacher(blobs, {role: (CAPTURE,)} if role else {})
    use = read_report(blobs, receipt, ()).normal_use
    assert use is not None
    assert use.use == {"left_out": LEFT_OUT, "doubted": "suspect", "normals": "learned from", None: ""}[role]


def release_teacher(blobs: MemoryBlobs, roles: dict[str, tuple[str, ...]]) -> str:
    parts = {"a": b"a"}
    one = make_manifest(line=LINE, product=PRODUCT, parts=(part_of("a", b"a"),), **roles)
    registry = Registry(blobs)
    weights = registry.store(one, parts)
    registry.point(one, expected=None, released_at=NOW)
    return weights


def test_masks_are_listed_with_the_weights_that_drew_them(blobs: MemoryBlobs) -> None:
    receipt = put_capture(blobs)
    teacher = release_teacher(blobs, {})
    for weights in (teacher, "f" * 64):
        blobs.put(keys.mask_key(LINE, CAPTURE, weights), b"png")
    masks = {mask.weights: mask.kind for mask in read_report(blobs, receipt, ()).masks}
    assert masks == {teacher: WeightsKind.TEACHER, "f" * 64: WeightsKind.UNSPECIFIED}


def test_the_mask_of_a_verdict_and_the_pseudo_mask_of_one_teacher_are_two(blobs: MemoryBlobs) -> None:
    receipt = put_capture(blobs)
    for make in (keys.mask_key, keys.verdict_mask_key):
        blobs.put(make(LINE, CAPTURE, "f" * 64), b"png")
    masks = read_report(blobs, receipt, ()).masks
    assert {(mask.weights, mask.is_of_verdict) for mask in masks} == {("f" * 64, True), ("f" * 64, False)}
