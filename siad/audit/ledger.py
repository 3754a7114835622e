"""The books: by line, received = verdicts + waiting + dead letters, always, and what is missing by name. Pure.

Every capture stands in one place: it waits, it has its verdict, or it lies among the dead letters. It is received
when it is first heard of, in whatever topic, so the sum holds at every moment and in whatever order the topics are
read. Events may come again: who waits and who is buried is known by name; of those with a verdict 8 bytes are kept
for as long as the reader may still come upon the capture for the first time. Past that *horizon* (by ``received_at``,
which a repeat never changes) what is not known by name has been counted, and counts no more.

The one limit: a capture whose event is first published later than the horizon reaches back after it was received (its
sender gave up for hours, then came again) is counted as stale, and in none of the three places.
"""

import base64
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import ClassVar, Final, Self

from siad.contracts.errors import CorruptError
from siad.contracts.events import DeadLetter, ImageStored, Intent, VerdictGiven
from siad.contracts.ids import SLUG, sha256_hex
from siad.contracts.json_codec import JsonRecord, JsonStyle

BUCKET_S: Final = 600  # the settled are dropped in steps of so many seconds of their ``received_at``
SETTLED_MAX: Final = 1_000_000  # 80 bytes each in memory; past it the horizon moves up, whatever was read
BURIED_MAX: Final = 10_000  # dead letters known by name, a line; older ones stay counted
NAMES_MAX: Final = 20  # of missing captures that a report names, the longest waiting first


@dataclass(slots=True)
class LineAccount:
    """One line's page."""

    received: int = 0
    verdict: int = 0
    normal: int = 0  # known to be good: they get no verdict, and are not in ``received``
    stale: int = 0  # came too late to be told from repeats
    buried_before: int = 0  # dead letters no longer known by name
    waiting: dict[str, float] = field(default_factory=dict)  # capture, or place of the unreadable -> received_at, Unix
    buried: dict[str, float] = field(default_factory=dict)

    @property
    def dead_letter(self) -> int:
        """Buried, and without a verdict."""
        return len(self.buried) + self.buried_before

    @property
    def is_balanced(self) -> bool:
        """Whether received = verdicts + waiting + dead letters."""
        return self.received == self.verdict + len(self.waiting) + self.dead_letter


@dataclass(frozen=True, slots=True, kw_only=True)
class LineReport:
    """One line, for people."""

    line: str
    received: int
    verdict: int
    waiting: int  # the missing among them
    missing: int  # waiting for longer than ``missing_after_s``
    dead_letter: int
    normal: int
    stale: int
    missing_after_s: float
    missing_names: tuple[str, ...]  # the longest waiting, at most ``NAMES_MAX``


@dataclass(slots=True)
class CaptureLedger:
    """The fold over images, verdicts and dead letters."""

    lines: dict[str, LineAccount] = field(default_factory=dict)
    horizon_s: float = 0.0  # Unix time; whoever was received before it and is not known by name was counted
    _settled: dict[int, set[int]] = field(default_factory=dict)  # bucket of received_at -> first 8 bytes of names

    def on_image(self, event: ImageStored) -> None:
        """A capture was announced."""
        page, at_s = self._page(event.line), event.received_at.timestamp()
        if self._is_known(page, event.capture_id, at_s):
            return
        if at_s < self.horizon_s:
            page.stale += 1
        elif event.intent is Intent.NORMAL:
            page.normal += 1
            self._settle(event.capture_id, at_s)
        else:
            page.received += 1
            page.waiting[event.capture_id] = at_s

    def on_verdict(self, event: VerdictGiven) -> None:
        """A capture was judged, be it UNKNOWN; also one whose burial was read first."""
        page, name, at_s = self._page(event.line), event.capture_id, event.received_at.timestamp()
        known_s = page.waiting.pop(name, None)
        if known_s is None:
            known_s = page.buried.pop(name, None)
        if known_s is not None:
            at_s = known_s  # what the image said, by which its repeats are known
        elif at_s < self.horizon_s or self._is_settled(name, at_s):
            return
        else:
            page.received += 1
        page.verdict += 1
        self._settle(name, at_s)

    def on_letter(self, letter: DeadLetter, event: ImageStored | None) -> None:
        """A capture was buried.

        Args:
            letter: as it lies in the dead-letter topic.
            event: what it holds; None where nobody can read it: then it is named by its place.
        """
        if event is not None:
            if event.intent is not Intent.NORMAL:
                self._bury(event.line, event.capture_id, event.received_at.timestamp())
            return
        name = place_name(letter.topic, letter.partition, letter.offset)
        self._bury(line_of_key(letter.key), name, letter.buried_at.timestamp())

    def on_unreadable(self, key: bytes, place: str, *, at_s: float) -> None:
        """A record among the images that is none: it waits for its burial, under the line of its key."""
        page = self._page(line_of_key(key))
        if at_s >= self.horizon_s and not self._is_known(page, place, at_s):
            page.received += 1
            page.waiting[place] = at_s

    def on_forgotten(self, line: str, name: str) -> None:
        """Somebody had the capture deleted: it is waited for no more, and was not received."""
        page = self._page(line)
        at_s = page.waiting.pop(name, None)
        if at_s is None:
            at_s = page.buried.pop(name, None)
        if at_s is not None:
            page.received -= 1
            self._settle(name, at_s)

    def advance(self, progress_s: float, *, window_s: float) -> None:
        """Let go of the settled: every topic is read up to ``progress_s``, Unix time, on every partition."""
        self._raise_horizon(progress_s - window_s)
        for bucket in sorted(self._settled):
            if sum(map(len, self._settled.values())) <= SETTLED_MAX:
                break
            self._raise_horizon((bucket + 1) * BUCKET_S)

    def missing(self, line: str, *, now_s: float, after_s: float) -> list[str]:
        """Who has waited for longer than ``after_s``, the longest waiting first."""
        late = [(at_s, name) for name, at_s in self._page(line).waiting.items() if now_s - at_s > after_s]
        return [name for _, name in sorted(late)]

    def received_at(self, line: str, name: str) -> datetime:
        """When somebody who waits was received."""
        return datetime.fromtimestamp(self._page(line).waiting[name], UTC)

    def report(self, line: str, *, now_s: float, after_s: float) -> LineReport:
        """One line, for people."""
        page = self.lines[line]
        missing = self.missing(line, now_s=now_s, after_s=after_s)
        return LineReport(
            line=line,
            received=page.received,
            verdict=page.verdict,
            waiting=len(page.waiting),
            missing=len(missing),
            dead_letter=page.dead_letter,
            normal=page.normal,
            stale=page.stale,
            missing_after_s=after_s,
            missing_names=tuple(missing[:NAMES_MAX]),
        )

    @property
    def waiting(self) -> int:
        """Captures that wait, of all lines."""
        return sum(len(page.waiting) for page in self.lines.values())

    @property
    def settled(self) -> int:
        """Captures of which 8 bytes are kept."""
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

    def _page(self, line: str) -> LineAccount:
        return self.lines.setdefault(line, LineAccount())

    def _bury(self, line: str, name: str, at_s: float) -> None:
        page = self._page(line)
        waited_s = page.waiting.pop(name, None)
        if waited_s is None:
            if at_s < self.horizon_s or self._is_known(page, name, at_s):
                return
            page.received += 1
        page.buried[name] = at_s if waited_s is None else waited_s
        if len(page.buried) > BURIED_MAX:
            oldest = next(iter(page.buried))
            self._settle(oldest, page.buried.pop(oldest))
            page.buried_before += 1

    def _is_known(self, page: LineAccount, name: str, at_s: float) -> bool:
        return name in page.waiting or name in page.buried or self._is_settled(name, at_s)

    def _is_settled(self, name: str, at_s: float) -> bool:
        return _short(name) in self._settled.get(int(at_s // BUCKET_S), ())

    def _settle(self, name: str, at_s: float) -> None:
        if at_s >= self.horizon_s:  # else the horizon alone refuses its repeats
            self._settled.setdefault(int(at_s // BUCKET_S), set()).add(_short(name))

    def _raise_horizon(self, to_s: float) -> None:
        """In whole buckets, so that none is kept by half."""
        self.horizon_s = max(self.horizon_s, to_s // BUCKET_S * BUCKET_S)
        for bucket in [bucket for bucket in self._settled if (bucket + 1) * BUCKET_S <= self.horizon_s]:
            del self._settled[bucket]


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerSnapshot:
    """The books at one moment, as they lie in the store."""

    books: CaptureLedger
    as_of: datetime  # when they were written
    behind: int  # records that were not read yet
    missing_after_s: Mapping[str, float]  # by line

    def reports(self) -> list[LineReport]:
        """Every line, by name, as it stood at that moment."""
        now_s = self.as_of.timestamp()
        return [
            self.books.report(line, now_s=now_s, after_s=self.missing_after_s[line])
            for line in sorted(self.books.lines)
        ]

    def to_json(self) -> bytes:
        """Write one document."""
        document = LedgerDocument(
            as_of=self.as_of,
            behind=self.behind,
            missing_after_s=self.missing_after_s,
            books=self.books.to_document(),
        )
        return document.to_json()

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read it back.

        Raises:
            CorruptError: the bytes are no ledger.
        """
        document = LedgerDocument.from_json(data)
        try:
            return cls(
                books=CaptureLedger.of_document(document.books),
                as_of=document.as_of,
                behind=document.behind,
                missing_after_s={line: document.missing_after_s[line] for line in document.books.lines},
            )
        except (KeyError, ValueError) as error:
            msg = f"{len(data)} bytes are not a LedgerDocument: {error!r}"
            raise CorruptError(msg) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class CapturesDocument(JsonRecord):
    """Stored form of a ``CaptureLedger``."""

    JSON_STYLE: ClassVar[JsonStyle] = JsonStyle.ORDERED

    horizon_s: float
    lines: Mapping[str, LineAccount]  # the order within an account is that in which its captures came
    settled: Mapping[str, str]  # by bucket: 8 bytes of each name, base64


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerDocument(JsonRecord):
    """Stored form of a ``LedgerSnapshot``."""

    JSON_STYLE: ClassVar[JsonStyle] = JsonStyle.ORDERED

    version: int = 1
    as_of: datetime
    behind: int
    missing_after_s: Mapping[str, float]
    books: CapturesDocument


def place_name(topic: str, partition: int, offset: int) -> str:
    """What a record is called that nobody can read."""
    return f"{topic}/{partition}/{offset}"


def line_of_key(key: bytes) -> str:
    """The line of a work record's key ``line/shard``; ``?`` where it names none."""
    line = key.partition(b"/")[0].decode("ascii", "replace")
    return line if SLUG.fullmatch(line) else "?"


def _short(name: str) -> int:
    """8 bytes of a name; a capture's is a hash already."""
    return int(name[:16] if len(name) == 32 else sha256_hex(name.encode())[:16], 16)


def _pack(names: Iterable[int]) -> str:
    return base64.b64encode(array("Q", sorted(names)).tobytes()).decode()


def _unpack(text: str) -> set[int]:
    packed = array("Q")
    packed.frombytes(base64.b64decode(text, validate=True))
    return set(packed)
