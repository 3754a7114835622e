"""Marks of dead letters that an operator sent again or dropped.

A mark is stored under the stage and the topic, partition and offset where the record was first read: a record that was
dead-lettered twice, because its stage crashed before the commit, is one letter. State SENDING is stored before the
record is published and SENT after it, so that a crash in between leaves a letter that can be sent again.
"""

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import ClassVar, Final, Self

from siad.contracts.json_codec import JsonRecord, JsonStyle

SENDING_S: Final = 60.0  # after this time in state SENDING the sender is taken to have crashed
_ID: Final = re.compile(r"([a-z]+)-(\d+)-(\d+)")


@dataclass(frozen=True, slots=True, order=True)
class LetterId:
    """Name of one dead letter: its stage and its position.

    Partition and offset are those in the stage's dead-letter topic.
    """

    stage: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.stage}-{self.partition}-{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an ID back.

        Raises:
            ValueError: the text is no ID.
        """
        if (match := _ID.fullmatch(text)) is None:
            msg = f"{text!r} is not the ID of a dead letter; IDs look like inference-3-17, see `siad dead-letters list`"
            raise ValueError(msg)
        return cls(match[1], int(match[2]), int(match[3]))


class LetterState(StrEnum):
    """What an operator did about a letter."""

    OPEN = "open"  # no mark
    SENDING = "sending"
    SENT = "sent"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterMark(JsonRecord):
    """Latest state of one letter."""

    JSON_STYLE: ClassVar[JsonStyle] = JsonStyle.INDENTED

    letter: str  # the ID that the operator named
    state: LetterState
    at: datetime  # UTC
    times: int  # how often it was sent, this time included
    because: str = ""  # why it was dropped
    is_mended: bool = False  # sent with other bytes than the dead-lettered ones

    def sent(self) -> "LetterMark":
        """Return the mark for after the broker's acknowledgement."""
        return replace(self, state=LetterState.SENT)


def mark_sending(
    mark: LetterMark | None, letter: LetterId, *, now: datetime, again: bool, is_mended: bool
) -> LetterMark:
    """Mark a letter as about to be sent again.

    Args:
        mark: the present one.
        letter: its ID.
        now: UTC.
        again: also send a letter that was sent or dropped before.
        is_mended: other bytes than the dead-lettered ones are sent.

    Raises:
        ValueError: it was sent or dropped before, or another process is sending it.
    """
    times = 0 if mark is None else mark.times
    if mark is not None and not again:
        if mark.state is LetterState.SENT:
            msg = f"{letter} was not sent: it was sent again at {_time(mark.at)}. Add --again to repeat it"
            raise ValueError(msg)
        if mark.state is LetterState.DROPPED:
            msg = f"{letter} was not sent: it was dropped because {mark.because!r}. Add --again to send it all the same"
            raise ValueError(msg)
        if now - mark.at < timedelta(seconds=SENDING_S):
            msg = (
                f"{letter} was not sent: another process began to send it at {_time(mark.at)} and may still finish. "
                f"Repeat the command {SENDING_S:g} s after that, or add --again: a second delivery is harmless"
            )
            raise ValueError(msg)
    return LetterMark(letter=str(letter), state=LetterState.SENDING, at=now, times=times + 1, is_mended=is_mended)


def mark_dropped(mark: LetterMark | None, letter: LetterId, *, now: datetime, because: str) -> LetterMark:
    """Mark a letter as not needed any more.

    Raises:
        ValueError: the letter is not open, or there is no reason.
    """
    if not because.strip():
        msg = f"{letter} was not dropped: give a reason with --because"
        raise ValueError(msg)
    if mark is not None:
        msg = f"{letter} was not dropped: it has been {mark.state} since {_time(mark.at)}"
        raise ValueError(msg)
    return LetterMark(letter=str(letter), state=LetterState.DROPPED, at=now, times=0, because=because)


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
