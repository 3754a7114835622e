"""Dead letters by name, and what was done about them: sent again, or dropped. Pure.

A mark lies in the store beside the letters' topic, named by the place where the record first lay: a letter that was
buried twice, since its stage died before the commit, is one letter. "Sending" is written before the record is sent and
"sent" after: whoever dies in between leaves a letter that may be sent again, and none that is lost.
"""

import json
import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, Self

from siad.contracts.errors import CorruptError

SENDING_S: Final = 60.0  # who began to send a letter longer ago is not at it any more
_ID: Final = re.compile(r"([a-z]+)-(\d+)-(\d+)")


@dataclass(frozen=True, slots=True, order=True)
class LetterId:
    """One dead letter: its stage, and partition and offset in that stage's dead-letter topic."""

    stage: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.stage}-{self.partition}-{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an ID back.

        Raises:
            ValueError: the text is none.
        """
        if (match := _ID.fullmatch(text)) is None:
            msg = f"{text!r} is no dead letter's ID; they look like inference-3-17, see `siad dead-letters list`"
            raise ValueError(msg)
        return cls(match[1], int(match[2]), int(match[3]))


class LetterState(StrEnum):
    """What was done about a letter."""

    OPEN = "open"  # nothing: it has no mark
    SENDING = "sending"
    SENT = "sent"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterMark:
    """The last thing that was done about one letter."""

    letter: str  # the ID that was named
    state: LetterState
    at: datetime  # UTC
    times: int  # sent so often, this time included
    because: str = ""  # why it was dropped
    is_mended: bool = False  # other bytes than the buried ones were sent

    def sent(self) -> "LetterMark":
        """The same, once the broker has acknowledged it."""
        return LetterMark(**(asdict(self) | {"state": LetterState.SENT}))


def mark_sending(
    mark: LetterMark | None, letter: LetterId, *, now: datetime, again: bool, is_mended: bool
) -> LetterMark:
    """The mark that says that a letter is being sent again.

    Args:
        mark: what was done about it before.
        letter: which.
        now: UTC.
        again: send it though it was sent or dropped before.
        is_mended: other bytes than the buried ones are sent.

    Raises:
        ValueError: it was sent or dropped before, or somebody is at it.
    """
    times = 0 if mark is None else mark.times
    if mark is not None and not again:
        if mark.state is LetterState.SENT:
            msg = f"{letter} was sent again {mark.at:%Y-%m-%d %H:%M:%S} UTC; nothing was sent. Say --again to repeat it"
            raise ValueError(msg)
        if mark.state is LetterState.DROPPED:
            msg = f"{letter} was dropped because {mark.because!r}; nothing was sent. Say --again if that was wrong"
            raise ValueError(msg)
        if now - mark.at < timedelta(seconds=SENDING_S):
            msg = (
                f"{letter} has been under way since {mark.at:%H:%M:%S} UTC and nobody knows whether it arrived; "
                f"nothing was sent. Try again {SENDING_S:g} s after that, or say --again: to arrive twice does no harm"
            )
            raise ValueError(msg)
    return LetterMark(letter=str(letter), state=LetterState.SENDING, at=now, times=times + 1, is_mended=is_mended)


def mark_dropped(mark: LetterMark | None, letter: LetterId, *, now: datetime, because: str) -> LetterMark:
    """The mark that says that nobody wants a letter any more.

    Raises:
        ValueError: it is not open, or no reason was given.
    """
    if not because.strip():
        msg = f"{letter} was not dropped: say why, with --because"
        raise ValueError(msg)
    if mark is not None:
        msg = f"{letter} was not dropped: it is {mark.state} since {mark.at:%Y-%m-%d %H:%M:%S} UTC"
        raise ValueError(msg)
    return LetterMark(letter=str(letter), state=LetterState.DROPPED, at=now, times=0, because=because)


def write_mark(mark: LetterMark) -> bytes:
    """A mark as it lies in the store."""
    return json.dumps(asdict(mark) | {"at": mark.at.astimezone(UTC).isoformat()}, indent=1, sort_keys=True).encode()


def read_mark(data: bytes) -> LetterMark:
    """Read a mark back.

    Raises:
        CorruptError: the bytes are none.
    """
    try:
        raw = json.loads(data)
        return LetterMark(
            letter=raw["letter"],
            state=LetterState(raw["state"]),
            at=datetime.fromisoformat(raw["at"]),
            times=int(raw["times"]),
            because=raw["because"],
            is_mended=bool(raw["is_mended"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        msg = f"{len(data)} bytes are not the mark of a dead letter: {error!r}"
        raise CorruptError(msg) from error
