"""What the watch works with: the folder, the options and its collaborators."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol

from siad.apps.edge.folder import FolderListing
from siad.apps.edge.journal import Journal
from siad.apps.edge.names import NameProblem, SerialPattern
from siad.apps.edge.output import WatchOutput
from siad.apps.edge.plan import FileInspection, FileStamp
from siad.apps.edge.upload import UploadPort
from siad.runtime.clock import Clock


class FolderPort(Protocol):
    """The watched folder."""

    def scan(self) -> FolderListing:
        """List it; OSError while it is unavailable."""
        ...

    def inspect(self, path: str) -> FileInspection:
        """Read one file; OSError if it can't be read."""
        ...

    def move(self, path: str, stamp: FileStamp) -> object:
        """Move one file out of it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchPorts:
    """Collaborators of the watch."""

    folder: FolderPort
    journal: Journal  # written by this watch alone
    upload: UploadPort
    output: WatchOutput
    clock: Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchOptions:
    """How to watch."""

    name: str  # full path of the folder; part of every key
    settle_s: float = 1.0
    parallel: int = 4
    is_new: bool = False  # each write of a file is a new exposure, even with the same bytes
    is_once: bool = False
    is_moving: bool = False
    serials: SerialPattern | None = None


@dataclass(slots=True)
class WatchCounts:
    """What was done since the start."""

    accepted: int = 0
    repeats: int = 0  # of the accepted: ingest had them already
    names: Counter[NameProblem] = field(default_factory=Counter)  # of the accepted: what their names did not say
    unmoved: dict[str, str] = field(default_factory=dict)  # accepted files that can't be moved -> why
