"""Capture ledger: received = verdicts + waiting + dead letters. Pure.

The equation holds for each line at every moment.

A capture has exactly one state: it waits, has a verdict, or is a dead letter. It is received with the first event that
names it, of whatever topic, so the equation holds in whatever order the topics are read. Events may be delivered again:
waiting captures and dead letters are kept by name; of captures with a verdict, 8 bytes are kept for as long as their
first event may still be unread. Before that *horizon* (by ``received_at``, which a repeat never changes) a capture that
is not kept by name has been counted, and is not counted again.

One limit: a capture whose event is first published later than the horizon reaches back after it was received (its
sender gave up for hours, then tried again) is counted as stale, and in none of the three states.
"""

import base64
import heapq
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import ClassVar, Final, Self

from siad.contracts.events import DeadLetter, ImageStored, Intent, VerdictGiven
from siad.contracts.ids import SLUG, sha256_hex
from siad.contracts.json_codec import JsonRecord, JsonStyle

BUCKET_S: Final = 600  # counted captures are dropped by the bucket of their ``received_at``, of so many seconds
SETTLED_MAX: Final = 1_000_000  # 80 bytes each in memory; beyond it the horizon moves up, unread events or not
BURIED_MAX: Final = 10_000  # dead letters kept by name for each line; older ones are only counted
NAMES_MAX: Final = 20  # missing captures named in a report, the longest waiting first


@dataclass(slots=True)
class LineAccount:
    """Account of one line."""

    received: int = 0
    verdict: int = 0
    normal: int = 0  # uploaded as normal: they get no verdict, and are not in ``received``
    stale: int = 0  # first announced too late to be distinguished from repeats
    buried_before: int = 0  # dead letters that are no longer kept by name
    waiting: dict[str, float] = field(default_factory=dict)  # capture, or place of an unreadable record -> Unix time
    buried: dict[str, float] = field(default_factory=dict)  # dead letters, likewise

    @property
    def dead_letter(self) -> int:
        """Dead letters without a verdict."""
        return len(self.buried) + self.buried_before

    @property
    def is_balanced(self) -> bool:
        """Whether received = verdicts + waiting + dead letters."""
        return self.received == self.verdict + len(self.waiting) + self.dead_letter


@dataclass(frozen=True, slots=True, kw_only=True)
class LineReport:
    """Counts of one line, for an operator."""

    line: str
    received: int
    verdict: int
    waiting: int  # the missing captures included
    missing: int  # waiting for longer than ``missing_after_s``
    dead_letter: int
    normal: int
    stale: int
    missing_after_s: float
    missing_names: tuple[str, ...]  # the longest waiting, at most ``NAMES_MAX``


@dataclass(slots=True)
class CaptureLedger:
    """Accounts of all lines, folded from image events, verdicts and dead letters."""

    lines: dict[str, LineAccount] = field(default_factory=dict)
    horizon_s: float = 0.0  # Unix time; a capture received before it that is not kept by name was counted
    _settled: dict[int, set[int]] = field(default_factory=dict)  # bucket of received_at -> first 8 bytes of names

    def on_image(self, event: ImageStored) -> None:
        """Count an announced capture."""
        account, at_s = self._account(event.line), event.received_at.timestamp()
        if self._is_known(account, event.capture_id, at_s):
            return
        if at_s < self.horizon_s:
            account.stale += 1
        elif event.intent is Intent.NORMAL:
            account.normal += 1
            self._settle(event.capture_id, at_s)
        else:
            account.received += 1
            account.waiting[event.capture_id] = at_s

    def on_verdict(self, event: VerdictGiven) -> None:
        """Count a verdict, UNKNOWN included, in any order with dead letters."""
        account, name, at_s = self._account(event.line), event.capture_id, event.received_at.timestamp()
        known_s = account.waiting.pop(name, None)
        if known_s is None:
            known_s = account.buried.pop(name, None)
        if known_s is not None:
            at_s = known_s  # as the image event says, by which its repeats are recognised
        elif at_s < self.horizon_s or self._is_settled(name, at_s):
            return
        else:
            account.received += 1
        account.verdict += 1
        self._settle(name, at_s)

    def on_letter(self, letter: DeadLetter, event: ImageStored | None) -> None:
        """Count a dead letter.

        Args:
            letter: from the dead-letter topic.
            event: its payload; None where it is unreadable: then the letter is named by the place of its record.
        """
        if event is not None:
            if event.intent is not Intent.NORMAL:
                self._bury(event.line, event.capture_id, event.received_at.timestamp())
            return
        name = place_name(letter.topic, letter.partition, letter.offset)
        self._bury(line_of_key(letter.key), name, letter.buried_at.timestamp())

    def on_unreadable(self, key: bytes, place: str, *, at_s: float) -> None:
        """Count an unreadable image record as waiting for its dead letter.

        Its line is the line of its key.
        """
        account = self._account(line_of_key(key))
        if at_s >= self.horizon_s and not self._is_known(account, place, at_s):
            account.received += 1
            account.waiting[place] = at_s

    def on_erased(self, line: str, name: str) -> None:
        """Take an erased capture out of the account: no verdict will follow."""
        account = self._account(line)
        at_s = account.waiting.pop(name, None)
        if at_s is None:
            at_s = account.buried.pop(name, None)
        if at_s is not None:
            account.received -= 1
            self._settle(name, at_s)

    def advance(self, progress_s: float, *, window_s: float) -> None:
        """Drop captures that no unread event can name.

        All partitions are read up to ``progress_s``.
        """
        self._raise_horizon(progress_s - window_s)
        for bucket in sorted(self._settled):
            if sum(map(len, self._settled.values())) <= SETTLED_MAX:
                break
            self._raise_horizon((bucket + 1) * BUCKET_S)

    def received_at(self, line: str, name: str) -> datetime:
        """When a waiting capture was received."""
        return datetime.fromtimestamp(self._account(line).waiting[name], UTC)

    def report(self, line: str, *, now_s: float, after_s: float) -> LineReport:
        """Report one line."""
        account = self.lines[line]
        missing = [(at_s, name) for name, at_s in account.waiting.items() if now_s - at_s > after_s]
        longest = heapq.nsmallest(NAMES_MAX, missing)
        return LineReport(
            line=line,
            received=account.received,
            verdict=account.verdict,
            waiting=len(account.waiting),
            missing=len(missing),
            dead_letter=account.dead_letter,
            normal=account.normal,
            stale=account.stale,
            missing_after_s=after_s,
            missing_names=tuple(name for _, name in longest),
        )

    @property
    def waiting(self) -> int:
        """Waiting captures of all lines."""
        return sum(len(account.waiting) for account in self.lines.values())

    @property
    def settled(self) -> int:
        """Counted captures of which 8 bytes are kept."""
        return sum(map(len, self._settled.values()))

    def to_document(self) -> "CapturesDocument":
        """Return what is stored of the ledger."""
        return CapturesDocument(
            horizon_s=self.horizon_s,
            lines=dict(sorted(self.lines.items())),
            settled={str(bucket): _pack(names) for bucket, names in sorted(self._settled.items())},
        )

    @classmethod
    def of_document(cls, document: "CapturesDocument") -> Self:
        """Read it back; ValueError where a bucket can't be read."""
        return cls(
            lines=dict(document.lines),
            horizon_s=document.horizon_s,
            _settled={int(bucket): _unpack(names) for bucket, names in document.settled.items()},
        )

    def _account(self, line: str) -> LineAccount:
        return self.lines.setdefault(line, LineAccount())

    def _bury(self, line: str, name: str, at_s: float) -> None:
        account = self._account(line)
        waited_s = account.waiting.pop(name, None)
        if waited_s is None:
            if at_s < self.horizon_s or self._is_known(account, name, at_s):
                return
            account.received += 1
        account.buried[name] = at_s if waited_s is None else waited_s
        if len(account.buried) > BURIED_MAX:
            oldest = next(iter(account.buried))
            self._settle(oldest, account.buried.pop(oldest))
            account.buried_before += 1

    def _is_known(self, account: LineAccount, name: str, at_s: float) -> bool:
        return name in account.waiting or name in account.buried or self._is_settled(name, at_s)

    def _is_settled(self, name: str, at_s: float) -> bool:
        return _short(name) in self._settled.get(int(at_s // BUCKET_S), ())

    def _settle(self, name: str, at_s: float) -> None:
        if at_s >= self.horizon_s:  # earlier ones are recognised by the horizon alone
            self._settled.setdefault(int(at_s // BUCKET_S), set()).add(_short(name))

    def _raise_horizon(self, to_s: float) -> None:
        """Move the horizon to a bucket's start; every bucket stays complete."""
        self.horizon_s = max(self.horizon_s, to_s // BUCKET_S * BUCKET_S)
        for bucket in [bucket for bucket in self._settled if (bucket + 1) * BUCKET_S <= self.horizon_s]:
            del self._settled[bucket]


@dataclass(frozen=True, slots=True, kw_only=True)
class CapturesDocument(JsonRecord):
    """Stored form of a ``CaptureLedger``."""

    JSON_STYLE: ClassVar[JsonStyle] = JsonStyle.ORDERED

    horizon_s: float
    lines: Mapping[str, LineAccount]  # the order within an account is that in which its captures came
    settled: Mapping[str, str]  # by bucket: 8 bytes of each name, base64


def place_name(topic: str, partition: int, offset: int) -> str:
    """Name of an unreadable record: its place."""
    return f"{topic}/{partition}/{offset}"


def line_of_key(key: bytes) -> str:
    """Line of a work record's key ``line/shard``; ``?`` where it names none."""
    line = key.partition(b"/")[0].decode("ascii", "replace")
    return line if SLUG.fullmatch(line) else "?"


def _short(name: str) -> int:
    """First 8 bytes of a capture id, or of a name's hash."""
    return int(name[:16] if len(name) == 32 else sha256_hex(name.encode())[:16], 16)


def _pack(names: Iterable[int]) -> str:
    return base64.b64encode(array("Q", sorted(names)).tobytes()).decode()


def _unpack(text: str) -> set[int]:
    packed = array("Q")
    packed.frombytes(base64.b64decode(text, validate=True))
    return set(packed)
