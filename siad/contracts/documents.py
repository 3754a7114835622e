"""JSON documents in the store: receipts, normals and settings of lines.

A receipt and a normal hold the image's event as it was first published; a revision of a line holds its settings. The
other documents here are small records that one stage writes and another reads.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import ClassVar

from siad.contracts.events import ImageStored, LineChanged
from siad.contracts.json_codec import FLATTEN, OMIT_IF_DEFAULT, JsonRecord, JsonStyle, read_json, write_json


@dataclass(frozen=True, slots=True, kw_only=True)
class LineState(JsonRecord):
    """One revision of a line.

    ``lines/<line>/<revision>.json`` and the pointer hold the same bytes.
    """

    JSON_STYLE: ClassVar[JsonStyle] = JsonStyle.INDENTED

    settings: LineChanged = field(metadata=FLATTEN)  # of an ended line: the last ones, with the revision of its end
    is_gone: bool = False  # the line was ended

    def at(self, revision: int) -> "LineState":
        """Return the same state under another revision."""
        return replace(self, settings=replace(self.settings, revision=revision))


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSetMembers(JsonRecord):
    """Captures and images of a frozen training set.

    For expiry and erasure, which keep or find them without Parquet.
    """

    JSON_STYLE: ClassVar[JsonStyle] = JsonStyle.SPACED

    captures: tuple[str, ...]
    images: tuple[str, ...] = ()  # URIs
    # corrections that it was labelled by, as ``siad.contracts.quarantine`` names them; lists of before have none
    corrections: tuple[str, ...] = field(default=(), metadata=OMIT_IF_DEFAULT)
    # weights that drew its pseudo-masks
    teachers: tuple[str, ...] = field(default=(), metadata=OMIT_IF_DEFAULT)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillMark(JsonRecord):
    """Mark that the captures from before the first teacher were labelled."""

    JSON_STYLE: ClassVar[JsonStyle] = JsonStyle.SPACED

    weights: str  # of the teacher that labelled them
    captures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillList(JsonRecord):
    """Captures that a backfill labels.

    They are chosen once, so that a restart does not choose others.
    """

    JSON_STYLE: ClassVar[JsonStyle] = JsonStyle.SPACED

    captures: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAttempt(JsonRecord):
    """Record that the job of a training run was started once more."""

    JSON_STYLE: ClassVar[JsonStyle] = JsonStyle.SPACED

    started_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFailure(JsonRecord):
    """Record of why one start of a run's job failed."""

    reason: str
    ended_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest(JsonRecord):
    """Request of an operator that a training run starts."""

    JSON_STYLE: ClassVar[JsonStyle] = JsonStyle.SPACED

    number: int  # of the line and product, from 1; a run that names it has answered it
    requested_at: datetime
    command_id: str = field(default="", metadata=OMIT_IF_DEFAULT)  # that it follows from; empty: the command line


def write_receipt(event: ImageStored) -> bytes:
    """Write a receipt, or the mark of a normal."""
    return write_json(event, JsonStyle.INDENTED)


def read_receipt(data: bytes) -> ImageStored:
    """Read a receipt or a normal.

    Raises:
        CorruptError: the bytes are neither.
    """
    return read_json(ImageStored, data)


def write_line(state: LineState) -> bytes:
    """Write one revision of a line."""
    return state.to_json()


def read_line(data: bytes) -> LineState:
    """Read one revision of a line, or its pointer.

    Raises:
        CorruptError: the bytes are neither.
    """
    return LineState.from_json(data)
