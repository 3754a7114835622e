"""Captures that can be shown to people, in memory.

Verdicts and pseudo-masks are folded into one entry for each capture. A line keeps its newest captures only, by the time
of their receipt; an entry takes about a kilobyte. They are the window of the projection from which people are asked and
thresholds computed; the projection has all.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from heapq import nlargest
from sys import intern
from typing import Final

from siad.contracts.events import Decision, PseudoMaskCreated, VerdictGiven
from siad.contracts.place import Place

SLACK: Final = 1.1  # a line may exceed its bound by a tenth before the oldest are dropped, all at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What some weights found on a capture."""

    weights: str
    score: float
    threshold: float
    mask_uri: str  # empty where nothing was marked
    confidence: float | None = None  # 0..1, of a pseudo-mask

    @property
    def is_reject(self) -> bool:
        """Whether the capture is called defective."""
        return self.score >= self.threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureEntry:
    """One capture, with what was found on it last."""

    line: str
    product: str
    capture_id: str
    image_uri: str
    captured_at: datetime
    received_at: datetime
    serial: str = ""  # known from a verdict
    verdict: Finding | None = None  # None where there is none yet, or it is UNKNOWN
    judged_at: datetime | None = None
    pseudo_mask: Finding | None = None

    @property
    def finding(self) -> Finding | None:
        """What a person is shown: the verdict, else the pseudo-mask."""
        return self.verdict or self.pseudo_mask

    @property
    def place(self) -> Place:
        """Line and product."""
        return Place(self.line, self.product)


class CaptureWindow:
    """The newest captures of every line."""

    def __init__(self, captures_max: int) -> None:
        """Create an empty window.

        Args:
            captures_max: captures kept of each line.
        """
        self.captures_max = captures_max
        self._lines: dict[str, dict[str, CaptureEntry]] = {}

    def restore(self, entry: CaptureEntry) -> None:
        """Enter a capture as the projection has it."""
        self._put(replace(entry, line=intern(entry.line), product=intern(entry.product)))

    def add_verdict(self, event: VerdictGiven) -> None:
        """Enter a verdict; an earlier one that arrives late is ignored."""
        entry = self._entry(event)
        if entry.judged_at is not None and event.judged_at < entry.judged_at:
            return
        finding = None
        if event.decision in (Decision.PASS, Decision.REJECT):
            finding = Finding(
                weights=intern(event.weights), score=event.score, threshold=event.threshold, mask_uri=event.mask_uri
            )
        self._put(replace(entry, serial=event.serial, judged_at=event.judged_at, verdict=finding or entry.verdict))

    def add_pseudo_mask(self, event: PseudoMaskCreated) -> None:
        """Enter a pseudo-mask; the last one that was drawn counts."""
        finding = Finding(
            weights=intern(event.weights),
            score=event.score,
            threshold=event.threshold,
            mask_uri=event.mask_uri,
            confidence=event.confidence,
        )
        self._put(replace(self._entry(event), pseudo_mask=finding))

    def of_line(self, line: str) -> Sequence[CaptureEntry]:
        """Return the captures of a line, in no order."""
        return list(self._lines.get(line, {}).values())

    def last_judged(self, line: str, product: str, count: int) -> list[CaptureEntry]:
        """Return the captures of a product that were judged last, newest first."""
        judged = (
            (entry.judged_at, entry.capture_id, entry)
            for entry in self._lines.get(line, {}).values()
            if entry.judged_at is not None and entry.product == product
        )
        return [entry for _, _, entry in nlargest(count, judged, key=lambda one: one[:2])]

    def places(self) -> list[Place]:
        """Return every line and product with captures."""
        return sorted({entry.place for captures in self._lines.values() for entry in captures.values()})

    def find(self, line: str, capture_id: str) -> CaptureEntry | None:
        """Return one capture; None where it is not among the newest."""
        return self._lines.get(line, {}).get(capture_id)

    def drop(self, line: str, captures: Collection[str]) -> None:
        """Remove captures, which were erased."""
        for capture_id in captures:
            self._lines.get(line, {}).pop(capture_id, None)

    def _entry(self, event: VerdictGiven | PseudoMaskCreated) -> CaptureEntry:
        return self.find(event.line, event.capture_id) or CaptureEntry(
            line=intern(event.line),
            product=intern(event.product),
            capture_id=event.capture_id,
            image_uri=event.image_uri,
            captured_at=event.captured_at,
            received_at=event.received_at,
        )

    def _put(self, entry: CaptureEntry) -> None:
        captures = self._lines.setdefault(entry.line, {})
        captures[entry.capture_id] = entry
        if len(captures) > self.captures_max * SLACK:
            newest = sorted(captures.values(), key=lambda one: (one.received_at, one.capture_id))
            self._lines[entry.line] = {one.capture_id: one for one in newest[-self.captures_max :]}


def at_thresholds(entries: Iterable[CaptureEntry], thresholds: Mapping[str, float]) -> list[CaptureEntry]:
    """Return the captures with the thresholds that their weights have now.

    Args:
        entries: with the thresholds by which they were judged.
        thresholds: by weights; others keep theirs.
    """
    return [
        replace(entry, verdict=_at(entry.verdict, thresholds), pseudo_mask=_at(entry.pseudo_mask, thresholds))
        if thresholds
        else entry
        for entry in entries
    ]


def _at(finding: Finding | None, thresholds: Mapping[str, float]) -> Finding | None:
    if finding is None or thresholds.get(finding.weights, finding.threshold) == finding.threshold:
        return finding
    return replace(finding, threshold=thresholds[finding.weights])


def findings_in_service(entries: Collection[CaptureEntry]) -> Mapping[Place, Finding]:
    """Return by place what the newest capture was found with.

    Its weights and threshold are those in service now, as far as the topics say.
    """
    newest: dict[Place, CaptureEntry] = {}
    for entry in entries:
        held = newest.get(entry.place)
        if entry.finding is not None and (held is None or _age(entry) > _age(held)):
            newest[entry.place] = entry
    return {place: entry.finding for place, entry in newest.items() if entry.finding is not None}


def _age(entry: CaptureEntry) -> tuple[bool, datetime, str]:
    """Order of captures, verdicts last.

    Only weights in service give a verdict.
    """
    return (entry.verdict is not None, entry.received_at, entry.capture_id)
