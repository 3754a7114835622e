"""What a line may become, and what an upload says."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.ingest.domain.announcements import LineAnnouncement, plan
from services.ingest.domain.captures import ReceivedImage, identify, make_receipt, require_same_capture
from services.ingest.domain.lines import (
    LineChangeRequest,
    Preconditions,
    change_line,
    end_line,
    etag_of,
    is_fulfilled,
    missing_after_s,
)
from services.ingest.domain.refusals import RefusalReason, RequestRefusedError
from services.ingest.domain.uploads import UploadClaim, read_claim
from siad.contracts.documents import LineState
from siad.contracts.events import Intent, LineChanged
from siad.contracts.ids import ImageId

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
SETTINGS = LineChanged(
    line="press-1", revision=3, product="lid", false_reject_budget=0.002, shards=16, deadline_s=1.5, changed_at=NOON
)
HELD = LineState(settings=SETTINGS)
GONE = LineState(settings=SETTINGS, is_gone=True)
ONE, OTHER = ImageId("a" * 64), ImageId("b" * 64)
KEY_ID, SERIAL_ID = "925ea74b6fe59e31f9beab5e56227ec5", "9b6bfe920e6334513f8fccc36dd4dfe5"
BYTES_ID = "bf279ad6c87ddfe4171875e26b67a06c"


def test_a_changeover_leaves_the_rest_as_it_is() -> None:
    after = change_line(HELD, LineChangeRequest(product="cup"), line="press-1", now=NOON + timedelta(hours=1))
    assert after == replace(SETTINGS, product="cup", revision=4, changed_at=NOON + timedelta(hours=1))


def test_a_new_line_takes_the_defaults() -> None:
    new = change_line(None, LineChangeRequest(product="lid"), line="press-2", now=NOON)
    assert (new.revision, new.false_reject_budget, new.shards, new.deadline_s) == (1, 0.05, 8, 0.0)
    assert new.budget_tightens


def test_a_stated_budget_is_kept_and_tightens_only_where_asked() -> None:
    stated = change_line(None, LineChangeRequest(product="lid", false_reject_budget=0.05), line="press-2", now=NOON)
    assert (stated.false_reject_budget, stated.budget_tightens) == (0.05, False)
    loose = LineChangeRequest(product="lid", false_reject_budget=0.1, budget_tightens=True)
    both = change_line(None, loose, line="press-2", now=NOON)
    assert (both.false_reject_budget, both.budget_tightens) == (0.1, True)
    again = change_line(HELD, LineChangeRequest(budget_tightens=True), line="press-1", now=NOON)
    assert (again.false_reject_budget, again.budget_tightens) == (SETTINGS.false_reject_budget, True)
    assert not is_fulfilled(LineState(settings=both), LineChangeRequest(false_reject_budget=0.1))


def test_a_line_that_comes_back_keeps_its_shards_and_its_count_alone() -> None:
    again = change_line(GONE, LineChangeRequest(product="lid"), line="press-1", now=NOON)
    assert (again.revision, again.shards, again.false_reject_budget, again.deadline_s) == (4, 16, 0.05, 0.0)


def test_the_end_of_a_line_is_a_revision() -> None:
    end = end_line(HELD, now=NOON)
    assert (end.settings.revision, end.is_gone, etag_of(end)) == (4, True, None)


@pytest.mark.parametrize(
    ("held", "wish", "reason"),
    [
        (None, LineChangeRequest(shards=4), RefusalReason.PRODUCT_MISSING),
        (GONE, LineChangeRequest(deadline_s=1), RefusalReason.PRODUCT_MISSING),
        (HELD, LineChangeRequest(shards=8), RefusalReason.SHARDS_SHRINK),
        (GONE, LineChangeRequest(product="lid", shards=8), RefusalReason.SHARDS_SHRINK),
        (HELD, LineChangeRequest(product="A lid"), RefusalReason.INVALID_LINE),
        (None, LineChangeRequest(product="A lid"), RefusalReason.INVALID_LINE),
        (HELD, LineChangeRequest(shards=65), RefusalReason.INVALID_LINE),
        (HELD, LineChangeRequest(method="divination"), RefusalReason.INVALID_LINE),
        (HELD, LineChangeRequest(method="draem"), RefusalReason.INVALID_LINE),
        (HELD, LineChangeRequest(region=(0.0, 0.0, 2.0, 0.0, 1.0, 1.0)), RefusalReason.INVALID_LINE),
        (HELD, LineChangeRequest(input_px=5), RefusalReason.INVALID_LINE),
        (HELD, LineChangeRequest(bits=7), RefusalReason.INVALID_LINE),
        (HELD, LineChangeRequest(sizes="all"), RefusalReason.INVALID_LINE),
        (HELD, LineChangeRequest(classes=("dent", "dent")), RefusalReason.INVALID_LINE),
        (HELD, LineChangeRequest(classes=("a,b",)), RefusalReason.INVALID_LINE),
        (HELD, LineChangeRequest(classes=tuple("abcdefghij")), RefusalReason.INVALID_LINE),
        (HELD, LineChangeRequest(miss_cost=-1.0), RefusalReason.INVALID_LINE),
        (HELD, LineChangeRequest(miss_cost=1e7), RefusalReason.INVALID_LINE),
    ],
)
def test_what_a_line_may_not_become(held: LineState | None, wish: LineChangeRequest, reason: RefusalReason) -> None:
    with pytest.raises(RequestRefusedError) as refused:
        change_line(held, wish, line="press-1", now=NOON)
    assert refused.value.reason is reason
    assert "nothing was" in str(refused.value)


def test_a_line_asks_for_its_teacher_and_may_take_it_back() -> None:
    asked = change_line(
        HELD, LineChangeRequest(region=(0.0, 0.0, 1.0, 0.0, 1.0, 0.5), input_px=512), line="press-1", now=NOON
    )
    assert (asked.region, asked.input_px) == ((0.0, 0.0, 1.0, 0.0, 1.0, 0.5), 512)
    again = change_line(LineState(settings=asked), LineChangeRequest(region=(), input_px=0), line="press-1", now=NOON)
    assert (again.region, again.input_px) == ((), 0)


def test_a_line_states_what_a_miss_costs_and_may_take_it_back() -> None:
    asked = change_line(HELD, LineChangeRequest(miss_cost=20.0), line="press-1", now=NOON)
    assert (asked.miss_cost, HELD.settings.miss_cost) == (20.0, 0.0)
    again = change_line(LineState(settings=asked), LineChangeRequest(miss_cost=0.0), line="press-1", now=NOON)
    assert again.miss_cost == 0.0


def test_fulfilled_is_a_wish_that_would_change_nothing() -> None:
    assert is_fulfilled(HELD, LineChangeRequest(product="lid", shards=16))
    assert not is_fulfilled(HELD, LineChangeRequest(product="lid", shards=32))
    assert not is_fulfilled(GONE, LineChangeRequest(product="lid"))


@pytest.mark.parametrize(
    ("held", "headers", "holds"),
    [
        (HELD, {}, True),
        (HELD, {"if_match": '"3"'}, True),
        (HELD, {"if_match": '"1", "3"'}, True),
        (HELD, {"if_match": "*"}, True),
        (HELD, {"if_match": '"2"'}, False),
        (HELD, {"if_match": 'W/"3"'}, False),  # If-Match compares strongly
        (None, {"if_match": "*"}, False),
        (GONE, {"if_match": '"3"'}, False),
        (HELD, {"if_none_match": "*"}, False),
        (HELD, {"if_none_match": 'W/"3"'}, False),
        (HELD, {"if_none_match": '"2"'}, True),
        (None, {"if_none_match": "*"}, True),
        (GONE, {"if_none_match": "*"}, True),
    ],
)
def test_conditions_hold_as_rfc_9110_says(held: LineState | None, headers: dict[str, str], holds: bool) -> None:
    if holds:
        Preconditions(**headers).check("press-1", held)
        return
    with pytest.raises(RequestRefusedError) as refused:
        Preconditions(**headers).check("press-1", held)
    assert refused.value.reason is RefusalReason.PRECONDITION_FAILED


@pytest.mark.parametrize("header", ["3", "", '"3', '"3" "4"', '"3",'])
def test_an_etag_without_its_quotes_is_told(header: str) -> None:
    with pytest.raises(RequestRefusedError, match="in quotes") as refused:
        Preconditions(if_match=header).check("press-1", HELD)
    assert refused.value.reason is RefusalReason.INVALID_ETAG


def claim_of(said: dict[str, str], key: str | None = None) -> UploadClaim:
    return read_claim(said, idempotency_key=key, received_at=NOON, clock_skew_s=5)


def test_an_upload_that_says_nothing_is_to_be_inspected() -> None:
    assert claim_of({}) == UploadClaim(intent=Intent.INSPECT, captured_at=None, serial="", idempotency_key=None)


@pytest.mark.parametrize(
    "text",
    ["2026-05-04T12:00:00Z", "2026-05-04T14:00:00+02:00", "2026-05-04T14:00:00 02:00", "20260504T070000-0500"],
)
def test_a_time_with_a_zone_is_read_also_where_its_plus_was_lost(text: str) -> None:
    assert claim_of({"captured_at": text}).captured_at == NOON


def test_a_camera_may_be_a_little_ahead() -> None:
    assert claim_of({"captured_at": "2026-05-04T12:00:05Z"}).captured_at == NOON + timedelta(seconds=5)


@pytest.mark.parametrize(
    ("said", "reason", "words"),
    [
        ({"captured_at": "2026-05-04T12:00:00"}, RefusalReason.NAIVE_TIME, "has no time zone"),
        ({"captured_at": "2026-05-04 12:00:00"}, RefusalReason.NAIVE_TIME, "has no time zone"),
        ({"captured_at": "2026-05-04"}, RefusalReason.INVALID_TIME, "'2026-05-04' is not a time"),
        (
            {"captured_at": "2026-05-04T12:00:05.1Z"},
            RefusalReason.FUTURE_TIME,
            "is 0.1 s after 2026-05-04T12:00:05",
        ),
        ({"captured_at": "1970-01-01T00:00:00Z"}, RefusalReason.PAST_TIME, "before 2000"),
        ({"captured_at": "0001-01-01T00:00:00+14:00"}, RefusalReason.PAST_TIME, "before 2000"),
        ({"captured_at": "yesterday"}, RefusalReason.INVALID_TIME, "'yesterday' is not a time"),
        ({"captured_at": "2026-05-04T24:00:00Z"}, RefusalReason.INVALID_TIME, "hour must be in 0..23"),
        ({"captured_at": "9999-12-31T23:59:59-12:00"}, RefusalReason.FUTURE_TIME, "not before 2200"),
        ({"intent": "NORMAL"}, RefusalReason.INVALID_INTENT, "Send normal or inspect"),
        ({"serial": "x" * 129}, RefusalReason.INVALID_SERIAL, "129 characters"),
        ({"serial": "a\nb"}, RefusalReason.INVALID_SERIAL, "all printable"),
    ],
)
def test_invalid_parameters_are_refused(said: dict[str, str], reason: RefusalReason, words: str) -> None:
    with pytest.raises(RequestRefusedError, match=words) as refused:
        claim_of(said)
    assert refused.value.reason is reason
    assert "nothing was stored" in str(refused.value)


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb"])
def test_a_key_that_is_none_is_refused(key: str) -> None:
    with pytest.raises(RequestRefusedError) as refused:
        claim_of({}, key)
    assert refused.value.reason is RefusalReason.INVALID_KEY


def test_a_capture_is_named_by_key_else_serial_and_time_else_bytes_with_one_of_the_two() -> None:
    full: dict[str, Any] = {"serial": "7", "captured_at": NOON, "idempotency_key": "k"}
    claims = {
        "key": UploadClaim(**full),
        "serial and time": UploadClaim(serial="7", captured_at=NOON),
        "time": UploadClaim(captured_at=NOON),
        "another time": UploadClaim(captured_at=NOON + timedelta(microseconds=1)),
        "serial": UploadClaim(serial="7"),
        "another serial": UploadClaim(serial="8"),
        "bytes": UploadClaim(),
    }
    names = {name: [identify(claim, "press-1", image) for image in (ONE, OTHER)] for name, claim in claims.items()}
    assert len({one for one, _ in names.values()}) == len(claims)
    assert {name for name, (one, other) in names.items() if one == other} == {"key", "serial and time"}
    assert names == {
        name: [identify(claim, "press-1", image) for image in (ONE, OTHER)] for name, claim in claims.items()
    }


def test_the_names_of_captures_that_are_stored_do_not_change() -> None:
    """Computed by the first version; a repeat of an upload of then is still the same capture."""
    image = ImageId("ab" * 32)
    assert identify(UploadClaim(idempotency_key="k", serial="7", captured_at=NOON), "press-1", image) == KEY_ID
    assert identify(UploadClaim(serial="7", captured_at=NOON), "press-1", image) == SERIAL_ID
    assert identify(UploadClaim(), "press-1", image) == BYTES_ID


@pytest.mark.parametrize(
    ("first", "then", "image_id", "reason"),
    [
        (UploadClaim(idempotency_key="k"), UploadClaim(idempotency_key="k"), ONE, None),
        (UploadClaim(idempotency_key="k"), UploadClaim(idempotency_key="k"), OTHER, RefusalReason.KEY_REUSED),
        (
            UploadClaim(serial="7", captured_at=NOON),
            UploadClaim(serial="7", captured_at=NOON),
            OTHER,
            RefusalReason.CAPTURE_DIFFERS,
        ),
        (UploadClaim(), UploadClaim(intent=Intent.NORMAL), ONE, None),
        (UploadClaim(intent=Intent.NORMAL), UploadClaim(), ONE, RefusalReason.CAPTURE_IS_NORMAL),
        (UploadClaim(intent=Intent.NORMAL), UploadClaim(intent=Intent.NORMAL), ONE, None),
    ],
)
def test_a_repeat_must_be_one(
    first: UploadClaim, then: UploadClaim, image_id: ImageId, reason: RefusalReason | None
) -> None:
    receipt = make_receipt(
        first,
        ReceivedImage(image_id=ONE, image_uri="s3://siad/x.png", size_bytes=7, received_at=NOON),
        settings=SETTINGS,
        capture_id=identify(first, "press-1", ONE),
    )
    if reason is None:
        require_same_capture(receipt, then, image_id)
        return
    with pytest.raises(RequestRefusedError) as refused:
        require_same_capture(receipt, then, image_id)
    assert refused.value.reason is reason
    assert receipt.capture_id in str(refused.value)


@pytest.mark.parametrize(
    ("state", "told", "is_checked", "is_due"),
    [
        (HELD, 3, True, False),
        (HELD, 3, False, True),  # after a start every line is told once
        (HELD, 2, True, True),
        (HELD, None, True, True),
        (HELD, 4, True, False),  # told by another replica since the pointer was read
        (GONE, None, True, False),
        (GONE, None, False, True),
        (GONE, 3, True, True),
        (GONE, 4, True, False),
        (None, None, False, False),
    ],
)
def test_what_is_not_told_as_it_stands_is_announced(
    state: LineState | None, told: int | None, is_checked: bool, is_due: bool
) -> None:
    assert bool(plan(LineAnnouncement(state, told, is_checked))) == is_due


def test_a_capture_is_missing_some_time_after_its_deadline() -> None:
    assert missing_after_s(SETTINGS, default_s=60.0, grace_s=10.0) == 11.5
    assert missing_after_s(replace(SETTINGS, deadline_s=0.0), default_s=60.0, grace_s=10.0) == 60.0
    assert missing_after_s(None, default_s=60.0, grace_s=10.0) == 60.0
