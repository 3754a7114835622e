"""Decisions about the files of a watched folder. Pure.

A file's *stamp* (size and time of its last change) shows cheaply that it changed; its *bytes* identify the image.
The Idempotency-Key consists of path and bytes alone. So a file that is sent twice stays one capture: after a crash
before the journal was written, after the loss of the journal, after a copy whose time was set last.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum, IntEnum, StrEnum
from typing import Final, NamedTuple

from siad.contracts.ids import sha256_hex
from siad.vision.headers import ImageError, read_header

INCOMPLETE_FACTOR: Final = 10  # an incomplete file rests so many times longer before ingest decides about it
_ENDS: Final = {"png": b"IEND\xaeB`\x82", "jpeg": b"\xff\xd9"}
_MAGIC: Final = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*", b"RIFF")


class FileStamp(NamedTuple):
    """Size and time of last change, from a listing."""

    size_bytes: int
    mtime_ns: int


class Completeness(IntEnum):
    """How certain it is that a file is complete."""

    FOREIGN = 0  # does not begin like an image
    MISSING = 1  # a truncated image, or one that can't be read
    DECLARED = 2  # as long as its header says; the writer may have allocated the space first
    PROVEN = 3  # ends with the end marker of its format, and is as long as its header says


class FileState(StrEnum):
    """State of a file in the journal."""

    HANDED = "handed"  # accepted by ingest
    REFUSED = "refused"
    ASIDE = "aside"  # ignored: not an image by its content


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """One file in the journal."""

    stamp: FileStamp
    sha256: str
    state: FileState
    capture_id: str = ""
    code: str = ""  # why it was refused
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileInspection:
    """What reading a file gave."""

    stamp: FileStamp
    sha256: str
    end: Completeness
    data: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsettledFile:
    """A listed file without a journal entry.

    Times are seconds of a monotonic clock.
    """

    stamp: FileStamp
    since_s: float  # when it last changed, as far as was seen
    inspect_at_s: float  # not before
    sha256: str = ""  # of its bytes at the last inspection
    attempts: int = 0  # failed attempts with a transient reason
    why: str = ""  # why it waits, for users


@dataclass(frozen=True, slots=True)
class PassPlan:
    """Work of one pass over the folder."""

    due: list[str]  # to inspect now, oldest first
    accepted: list[str]  # accepted by ingest, still in the folder
    unsettled: dict[str, UnsettledFile]


class FileDecision(Enum):
    """What to do with an inspected file."""

    WAIT = "wait"
    SEND = "send"
    IGNORE = "ignore"


def plan(
    files: Mapping[str, FileStamp],
    known: Mapping[str, JournalEntry],
    unsettled: Mapping[str, UnsettledFile],
    *,
    now_s: float,
) -> PassPlan:
    """Compare a listing with the journal.

    Args:
        files: the listing, by path.
        known: the journal, by path.
        unsettled: from the previous pass.
        now_s: now, on a monotonic clock.
    """
    due, accepted, keep = [], [], {}
    for path, stamp in files.items():
        entry = known.get(path)
        if entry is not None and entry.stamp == stamp:
            if entry.state is FileState.HANDED:
                accepted.append(path)
            continue
        file = unsettled.get(path)
        if file is None or file.stamp != stamp:
            file = UnsettledFile(stamp=stamp, since_s=now_s, inspect_at_s=now_s)
        keep[path] = file
        if file.inspect_at_s <= now_s:
            due.append(path)
    return PassPlan(oldest_first(due, files), accepted, keep)


def oldest_first(paths: Iterable[str], files: Mapping[str, FileStamp]) -> list[str]:
    """Sort by time of last change, then by name."""
    return sorted(paths, key=lambda path: (files[path].mtime_ns, path))


def decide(
    found: FileInspection, file: UnsettledFile, *, now_s: float, settle_s: float, always_rest: bool = False
) -> tuple[FileDecision, UnsettledFile]:
    """Decide whether a file is complete.

    A file with the end marker of its format is complete at once, also right after a rename. A file that is only as
    long as its header declares must keep its bytes for ``settle_s``: some writers set the size before the pixels, and
    times lag on network shares. An incomplete file waits ten times longer; then ingest reports what is wrong with it.

    Args:
        found: the inspection.
        file: what was known before it.
        now_s: time of the inspection, on a monotonic clock.
        settle_s: how long bytes must stay unchanged.
        always_rest: apply ``settle_s`` also to files with an end marker.
    """
    since_s = file.since_s
    if found.stamp != file.stamp or (file.sha256 and file.sha256 != found.sha256):
        since_s = now_s
    rest_s = {Completeness.PROVEN: settle_s if always_rest else 0.0, Completeness.DECLARED: settle_s}
    need_s = rest_s.get(found.end, INCOMPLETE_FACTOR * settle_s)
    is_unchanged = file.sha256 == found.sha256 or not need_s
    if is_unchanged and now_s - since_s >= need_s:
        return (FileDecision.IGNORE if found.end is Completeness.FOREIGN else FileDecision.SEND), file
    why = "it may still be written" if found.end >= Completeness.DECLARED else "it is incomplete"
    due_s = min(since_s + need_s, now_s + settle_s) if is_unchanged else now_s + settle_s
    return FileDecision.WAIT, replace(
        file, stamp=found.stamp, since_s=since_s, sha256=found.sha256, inspect_at_s=max(due_s, now_s), why=why
    )


def completeness_of(data: bytes, *, is_named: bool) -> Completeness:
    """How certain it is that these bytes are a complete image.

    Args:
        data: the whole file.
        is_named: its name has an image's extension; without one, the content must begin like an image.
    """
    if not is_named and not data.startswith(_MAGIC):
        return Completeness.FOREIGN
    try:
        header = read_header(data)
    except ImageError:
        return Completeness.MISSING
    end = _ENDS.get(header.format)
    return Completeness.PROVEN if end is not None and data.endswith(end) else Completeness.DECLARED


def key_of(folder: str, path: str, sha256: str, *, written_ns: int | None = None) -> str:
    """Idempotency-Key of a file: its path and its bytes.

    Args:
        folder: full path of the watched folder.
        path: path of the file below it.
        sha256: of its bytes.
        written_ns: time of the write, if each write is a new exposure even with the same bytes.
    """
    parts = [folder, path, sha256] + ([] if written_ns is None else [str(written_ns)])
    name = sha256_hex("\n".join(parts).encode(errors="surrogateescape"))
    return f"watch-{name[:40]}"
