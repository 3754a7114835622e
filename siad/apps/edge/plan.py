"""What to do about each file of a watched folder: listing and journal in, actions out. Pure.

A file's *stamp* (size and time of its last change) tells cheaply that something changed; its *bytes* tell what it is.
The Idempotency-Key is made of path and bytes alone, so whatever is handed over twice - after a crash before the journal
was written, after a journal that was lost, after a copy whose time was set last - is the same capture to ingest.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum, IntEnum, StrEnum
from typing import Final, NamedTuple

from siad.contracts.ids import sha256_hex
from siad.vision.headers import ImageError, read_header

PATIENCE: Final = 10  # a file without its end rests this many times longer before ingest is asked what it thinks of it
_ENDS: Final = {"png": b"IEND\xaeB`\x82", "jpeg": b"\xff\xd9"}
_MAGIC: Final = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*", b"RIFF")


class FileStamp(NamedTuple):
    """What a listing says of a file."""

    size_bytes: int
    mtime_ns: int


class Completeness(IntEnum):
    """How sure it is that a file is whole."""

    FOREIGN = 0  # does not begin as an image does
    MISSING = 1  # an image cut short, or one that is not read
    DECLARED = 2  # as long as its header says; a writer may have made room first
    PROVEN = 3  # ends as its format ends, behind all that its header says


class FileState(StrEnum):
    """What became of a file."""

    HANDED = "handed"
    REFUSED = "refused"
    ASIDE = "aside"  # no image, by its content


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """A file as the journal has it."""

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
    """A file that was seen and is not settled yet; times are seconds of a clock that only grows."""

    stamp: FileStamp
    since_s: float  # it is as it is
    look_at_s: float  # not before
    sha256: str = ""  # of its bytes when it was looked at last
    attempts: int = 0  # that failed for a reason that may pass
    why: str = ""  # in words, for who asks


@dataclass(frozen=True, slots=True)
class PassPlan:
    """One pass over the folder."""

    due: list[str]  # to be looked at now, oldest first
    finish: list[str]  # handed over already, and still to be moved away
    waiting: dict[str, UnsettledFile]


class FileDecision(Enum):
    """What follows from a look."""

    WAIT = "wait"
    HAND_OVER = "hand over"
    ASIDE = "aside"


def plan(
    files: Mapping[str, FileStamp],
    known: Mapping[str, JournalEntry],
    waiting: Mapping[str, UnsettledFile],
    *,
    now_s: float,
) -> PassPlan:
    """Compare a listing with what is known.

    Args:
        files: what lies there, by path.
        known: what the journal says, by path.
        waiting: what the pass before left.
        now_s: the moment, of a clock that only grows.
    """
    due, finish, keep = [], [], {}
    for path, stamp in files.items():
        held = known.get(path)
        if held is not None and held.stamp == stamp:
            if held.state is FileState.HANDED:
                finish.append(path)
            continue
        wait = waiting.get(path)
        if wait is None or wait.stamp != stamp:
            wait = UnsettledFile(stamp=stamp, since_s=now_s, look_at_s=now_s)
        keep[path] = wait
        if wait.look_at_s <= now_s:
            due.append(path)
    return PassPlan(oldest_first(due, files), finish, keep)


def oldest_first(paths: Iterable[str], files: Mapping[str, FileStamp]) -> list[str]:
    """By the time of their last change, then by name."""
    return sorted(paths, key=lambda path: (files[path].mtime_ns, path))


def judge(
    look: FileInspection, wait: UnsettledFile, *, now_s: float, settle_s: float, rests_always: bool = False
) -> tuple[FileDecision, UnsettledFile]:
    """Decide whether a file is whole.

    One that proves its end is whole at once, also right after a rename. One that is only as long as it declares must
    have kept its bytes for ``settle_s``: sizes are set before the pixels by writers that make room first, and times lag
    on network shares. One without an end waits ten times longer; then ingest says what is wrong with it.

    Args:
        look: what reading it gave.
        wait: what was known of it before.
        now_s: the moment of the look.
        settle_s: how long bytes must rest.
        rests_always: let also those rest that prove their end.
    """
    since_s = wait.since_s
    if look.stamp != wait.stamp or (wait.sha256 and wait.sha256 != look.sha256):
        since_s = now_s
    need_s = {Completeness.PROVEN: settle_s if rests_always else 0.0, Completeness.DECLARED: settle_s}.get(
        look.end, PATIENCE * settle_s
    )
    was_read = wait.sha256 == look.sha256 or not need_s
    if was_read and now_s - since_s >= need_s:
        return (FileDecision.ASIDE if look.end is Completeness.FOREIGN else FileDecision.HAND_OVER), wait
    why = "it may still be written" if look.end >= Completeness.DECLARED else "it has no end yet"
    due_s = min(since_s + need_s, now_s + settle_s) if was_read else now_s + settle_s
    return FileDecision.WAIT, replace(
        wait, stamp=look.stamp, since_s=since_s, sha256=look.sha256, look_at_s=max(due_s, now_s), why=why
    )


def end_of(data: bytes, *, is_named: bool) -> Completeness:
    """How sure it is that these bytes are a whole image.

    Args:
        data: all that is in the file.
        is_named: its name ends as an image's does; else what does not begin as an image is none.
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
    """Idempotency-Key of a file: its place and its bytes.

    Args:
        folder: the folder that is watched, in full.
        path: the file's path below it.
        sha256: of its bytes.
        written_ns: where each writing counts as an exposure though its bytes are the same: when it was written.
    """
    said = [folder, path, sha256] + ([] if written_ns is None else [str(written_ns)])
    name = sha256_hex("\n".join(said).encode(errors="surrogateescape"))
    return f"watch-{name[:40]}"
