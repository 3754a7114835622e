"""A folder, an ingest and a console for tests of the watch: in memory, on a clock that jumps."""

import asyncio
import functools
import io
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console

from siad.apps.edge.folder import ChangedError, FolderListing
from siad.apps.edge.journal import Journal
from siad.apps.edge.names import SerialPattern
from siad.apps.edge.output import WatchOutput
from siad.apps.edge.plan import FileInspection, FileStamp, completeness_of
from siad.apps.edge.ports import WatchOptions, WatchPorts
from siad.apps.edge.run import FolderWatch
from siad.apps.edge.upload import FileUpload, UploadOutcome, UploadResponse
from siad.contracts.ids import sha256_hex
from siad.runtime.testing.clock import FakeClock
from siad.vision.headers import ImageError, read_header

NS = 10**9


@functools.cache
def picture(number: int, suffix: str = ".png") -> bytes:
    pixels = np.random.default_rng(number).integers(0, 256, (6, 5), np.uint8)
    return cv2.imencode(suffix, pixels)[1].tobytes()


class KilledError(Exception):
    """The process of the watch was killed."""


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

    def inspect(self, path: str) -> FileInspection:
        self.looks.append(path)
        if path in self.locked:
            raise PermissionError(13, "Permission denied")
        if path not in self.files:
            raise FileNotFoundError(2, "No such file or directory")
        data, ns = self.files[path]
        end = completeness_of(data, is_named="." in path)
        return FileInspection(stamp=FileStamp(len(data), ns), sha256=sha256_hex(data), end=end, data=data)

    def move(self, path: str, stamp: FileStamp) -> None:
        data, ns = self.files[path]
        if FileStamp(len(data), ns) != stamp:
            raise ChangedError(path)
        del self.files[path]
        self.moved[f"{path}@{ns}"] = data


@dataclass
class FakeIngest:
    """Accepts complete images, one capture for each key; may be unavailable, or kill its sender after accepting."""

    captures: dict[str, FileUpload] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)  # serials as they came
    is_away: bool = False
    kills: int = 0
    is_killed_before: bool = False  # it has taken the image
    problems: list[UploadResponse] = field(default_factory=list)  # answered first

    async def __call__(self, upload: FileUpload) -> UploadResponse:
        await asyncio.sleep(0)
        if self.is_away:
            return UploadResponse(outcome=UploadOutcome.UNAVAILABLE, detail="http://ingest does not answer")
        if self.problems:
            return self.problems.pop(0)
        if self.kills and self.is_killed_before:
            self.kills -= 1
            raise KilledError
        try:
            read_header(upload.data)
        except ImageError as error:
            return UploadResponse(outcome=UploadOutcome.REFUSED, code=error.reason, detail=str(error))
        is_repeat = upload.key in self.captures
        if not is_repeat:
            self.captures[upload.key] = upload
        self.order.append(upload.serial)
        if self.kills:
            self.kills -= 1
            raise KilledError
        return UploadResponse(outcome=UploadOutcome.ACCEPTED, capture_id=upload.key, is_repeat=is_repeat)


class World:
    """One watch that can be killed and restarted. Serials are file names, so that tests can compare them."""

    def __init__(self, journal: Path, **options: object) -> None:
        self.clock = FakeClock()
        self.folder, self.ingest, self.text = FakeFolder(self.clock), FakeIngest(), io.StringIO()
        serials = SerialPattern("(?P<serial>.+)", zone=UTC)
        self._options = WatchOptions(**{"name": "/cam", "serials": serials, **options})  # type: ignore[arg-type]
        self._place, self.stop = journal, asyncio.Event()
        self.start()

    def start(self) -> None:
        self.journal = Journal(self._place, "press-1")
        output = WatchOutput(Console(file=self.text, width=400), clock=self.clock)
        ports = WatchPorts(
            folder=self.folder, journal=self.journal, upload=self.ingest, output=output, clock=self.clock
        )
        self.watch = FolderWatch(ports, self._options)

    def end(self) -> None:
        self.journal.__exit__()

    async def step(self, count: int = 1, *, seconds: float = 0.5) -> None:
        """Run some passes with a rest after each; restart a killed watch."""
        for _ in range(count):
            try:
                await self.watch.step(self.stop)
            except* KilledError:
                self.end()
                self.start()
            self.clock.advance(seconds)

    async def settle(self) -> None:
        """Run enough passes for every file."""
        await self.step(30)
