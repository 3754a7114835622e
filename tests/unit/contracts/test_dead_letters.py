"""What may be done about a dead letter, as a table of what was done before."""

from datetime import UTC, datetime, timedelta

import pytest

from siad.contracts.dead_letters import (
    LetterId,
    LetterMark,
    LetterState,
    mark_dropped,
    mark_sending,
)
from siad.contracts.errors import CorruptError

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
ID = LetterId("inference", 3, 17)


def mark(state: LetterState, *, age_s: float = 3600, times: int = 1) -> LetterMark:
    at = NOW - timedelta(seconds=age_s)
    return LetterMark(
        letter=str(ID), state=state, at=at, times=times, because="a test" if state is LetterState.DROPPED else ""
    )


def test_an_id_is_read_back() -> None:
    assert str(ID) == "inference-3-17"
    assert LetterId.parse("inference-3-17") == ID


@pytest.mark.parametrize("text", ["", "17", "inference-3", "inference-3-x", "inference--3-17", "a/b-1-2"])
def test_what_is_no_id_is_refused_with_what_one_looks_like(text: str) -> None:
    with pytest.raises(ValueError, match="inference-3-17"):
        LetterId.parse(text)


@pytest.mark.parametrize(
    ("before", "again", "refused"),
    [
        (None, False, None),
        (mark(LetterState.SENT), False, "was sent again"),
        (mark(LetterState.SENT), True, None),
        (mark(LetterState.DROPPED), False, "was dropped because 'a test'"),
        (mark(LetterState.DROPPED), True, None),
        (mark(LetterState.SENDING, age_s=59), False, "may still finish"),
        (mark(LetterState.SENDING, age_s=60), False, None),  # the first sender crashed
        (mark(LetterState.SENDING, age_s=1), True, None),
    ],
)
def test_a_letter_is_sent_once_unless_again_is_given(
    before: LetterMark | None, again: bool, refused: str | None
) -> None:
    if refused is not None:
        with pytest.raises(ValueError, match=refused):
            mark_sending(before, ID, now=NOW, again=again, is_mended=False)
        return
    after = mark_sending(before, ID, now=NOW, again=again, is_mended=False)
    assert (after.state, after.at, after.letter) == (LetterState.SENDING, NOW, "inference-3-17")
    assert after.times == (before.times if before is not None else 0) + 1
    assert after.sent().state is LetterState.SENT


@pytest.mark.parametrize("state", [LetterState.SENDING, LetterState.SENT, LetterState.DROPPED])
def test_only_an_open_letter_is_dropped(state: LetterState) -> None:
    with pytest.raises(ValueError, match=f"it has been {state}"):
        mark_dropped(mark(state), ID, now=NOW, because="noise")
    with pytest.raises(ValueError, match="give a reason"):
        mark_dropped(None, ID, now=NOW, because=" ")
    assert mark_dropped(None, ID, now=NOW, because="noise").because == "noise"


def test_a_mark_is_read_back() -> None:
    one = LetterMark(letter=str(ID), state=LetterState.SENT, at=NOW, times=2, is_mended=True)
    assert LetterMark.from_json(one.to_json()) == one


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", mark(LetterState.SENT).to_json().replace(b'"sent"', b'"lost"')])
def test_what_is_no_mark_is_refused(data: bytes) -> None:
    with pytest.raises(CorruptError):
        LetterMark.from_json(data)
