"""A folder, an ingest and a console for tests of the watch: in memory, on a clock that jumps."""

import asyncio
import functools
import io
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console

from siad.apps.edge.folder import ChangedError, FolderListing
from siad.apps.edge.handover import FileHandover, FileOutcome, HandoverAnswer
from siad.apps.edge.journal import Journal
from siad.apps.edge.names import SerialPattern
from siad.apps.edge.output import WatchOutput
from siad.apps.edge.plan import FileInspection, FileStamp, end_of
from siad.apps.edge.run import FolderWatch, WatchOptions
from siad.contracts.ids import sha256_hex
from siad.runtime.testing.clock import FakeClock
from siad.vision.headers import ImageError, read_header

NS = 10**9


@functools.cache
def picture(number: int, suffix: str = ".png") -> bytes:
    pixels = np.random.default_rng(number).integers(0, 256, (6, 5), np.uint8)
    return cv2.imencode(suffix, pixels)[1].tobytes()


class KilledError(Exception):
    """The watch's process, by somebody."""


@dataclass
class FakeFolder:
    clock: FakeClock
    files: dict[str, tuple[bytes, int]] = field(default_factory=dict)  # path -> bytes, mtime in ns
    moved: dict[str, bytes] = field(default_factory=dict)
    locked: set[str] = field(default_factory=set)
    is_away: bool = False
    looks: list[str] = field(default_factory=list)

    def put(self, path: str, data: bytes) -> None:
        self.files[path] = (data, int(self.clock.now().timestamp() * NS))
        self.clock.advance(0.001)  # no two writes at one moment

    def scan(self) -> FolderListing:
        if self.is_away:
            raise FileNotFoundError(2, "No such file or directory")
        return FolderListing(files={path: FileStamp(len(data), ns) for path, (data, ns) in self.files.items()})

    def look(self, path: str) -> FileInspection:
        self.looks.append(path)
        if path in self.locked:
            raise PermissionError(13, "Permission denied")
        if path not in self.files:
            raise FileNotFoundError(2, "No such file or directory")
        data, ns = self.files[path]
        end = end_of(data, is_named="." in path)
        return FileInspection(stamp=FileStamp(len(data), ns), sha256=sha256_hex(data), end=end, data=data)

    def move(self, path: str, stamp: FileStamp) -> None:
        data, ns = self.files[path]
        if FileStamp(len(data), ns) != stamp:
            raise ChangedError(path)
        del self.files[path]
        self.moved[f"{path}@{ns}"] = data


@dataclass
class FakeIngest:
    """Takes what is whole, names captures by key, and may be away, or see its sender die after it has taken."""

    captures: dict[str, FileHandover] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)  # serials as they came
    is_away: bool = False
    kills: int = 0
    is_killed_before: bool = False  # it has taken the image
    troubles: list[HandoverAnswer] = field(default_factory=list)  # answered first

    async def __call__(self, parcel: FileHandover) -> HandoverAnswer:
        await asyncio.sleep(0)
        if self.is_away:
            return HandoverAnswer(fate=FileOutcome.AWAY, detail="http://ingest does not answer")
        if self.troubles:
            return self.troubles.pop(0)
        if self.kills and self.is_killed_before:
            self.kills -= 1
            raise KilledError
        try:
            read_header(parcel.data)
        except ImageError as error:
            return HandoverAnswer(fate=FileOutcome.REFUSED, code=error.reason, detail=str(error))
        is_repeat = parcel.key in self.captures
        if not is_repeat:
            self.captures[parcel.key] = parcel
        self.order.append(parcel.serial)
        if self.kills:
            self.kills -= 1
            raise KilledError
        return HandoverAnswer(fate=FileOutcome.HANDED, capture_id=parcel.key, is_repeat=is_repeat)


class World:
    """One watch that can be killed and started again. Serials are names, so that tests see what came."""

    def __init__(self, journal: Path, **ways: object) -> None:
        self.clock = FakeClock()
        self.folder, self.ingest, self.text = FakeFolder(self.clock), FakeIngest(), io.StringIO()
        self._ways = WatchOptions(**{"name": "/cam", "serials": SerialPattern("(?P<serial>.+)"), **ways})  # type: ignore[arg-type]
        self._place, self.stop = journal, asyncio.Event()
        self.start()

    def start(self) -> None:
        self.journal = Journal(self._place, "press-1")
        say = WatchOutput(Console(file=self.text, width=400), clock=self.clock)
        self.watch = FolderWatch(self.folder, self.journal, self.ingest, say=say, ways=self._ways, clock=self.clock)

    def end(self) -> None:
        self.journal.__exit__()

    async def step(self, count: int = 1, *, seconds: float = 0.5) -> None:
        """Look so often, with a rest after each; whoever is killed is started again."""
        for _ in range(count):
            try:
                await self.watch.step(self.stop)
            except* KilledError:
                self.end()
                self.start()
            self.clock.advance(seconds)

    async def settle(self) -> None:
        """Give all that is there the time that it needs."""
        await self.step(30)
