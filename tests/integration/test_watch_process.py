"""`siad watch` as a process, before a real ingest: killed in mid-flight, and left alone by ingest for a while."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from siad.apps.client import IngestClient
from siad.contracts.documents import read_receipt
from siad.contracts.events import ImageStored
from siad.contracts.ids import sha256_hex
from siad.runtime.blobs.s3 import S3Blobs
from siad.runtime.parent_death import end_with_parent
from tests.e2e.harness import Plant, StageProcess, wait_for
from tests.fixtures.store import settings_of

pytestmark = pytest.mark.slow
LINE = "press-1"


@pytest.fixture
def blobs(store_env: Mapping[str, str]) -> S3Blobs:
    blobs = S3Blobs(settings_of(store_env))
    blobs.ensure_bucket()
    return blobs


@pytest.fixture
async def ingest(store_env: Mapping[str, str], blobs: S3Blobs, tmp_path: Path) -> AsyncIterator[StageProcess]:
    env = {"SIAD_BUS_BOOTSTRAP": f"embedded://{tmp_path}/bus.sqlite", **store_env}
    stage = Plant(tmp_path, env).add("ingest")
    stage.start()
    await stage.wait_ready()
    async with IngestClient(stage.url) as client:
        await client.put_line(LINE, {"product": "lid"})
    yield stage
    await stage.stop()


class Cam:
    """A folder that a camera writes into, and the watch before it."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url, self.log = folder / "in", url, folder / "watch.log"
        self.folder.mkdir()

    def shoot(self, first: int, last: int) -> None:
        """Images of names that tell serials; written under another name, then renamed, as good cameras do."""
        for number in range(first, last):
            pixels = np.random.default_rng(number).integers(0, 256, (64, 64, 3), np.uint8)
            half = self.folder / f"SN{number:04d}.png.part"
            half.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
            half.rename(half.with_suffix(""))

    @contextmanager
    def watch(self, *more: str, pattern: str = r"(?P<serial>SN\d+)") -> Iterator[subprocess.Popen[bytes]]:
        """One process of the watch; ended at the latest here."""
        words = ["watch", self.folder, "--line", LINE, "--url", self.url, "--data", self.folder.parent / "data", *more]
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "siad.apps.cli", *map(str, words), "--serial-from-name", pattern],
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                preexec_fn=partial(end_with_parent, signal.SIGTERM),  # noqa: PLW1509 - one system call, takes no lock
            )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()

    def said(self, text: str) -> int:
        """How often the watch said it."""
        return self.log.read_text().count(text)


DAY = datetime(2025, 10, 26, 1, 30, 1, tzinfo=UTC)
README = r"(?P<serial>[A-Z0-9]+)_(?P<captured_at>[0-9-]+)"  # as in docs/use.md


@pytest.fixture
def cam(tmp_path: Path, ingest: StageProcess) -> Cam:
    return Cam(tmp_path, ingest.url)


def receipts(blobs: S3Blobs) -> list[ImageStored]:
    return [read_receipt(blobs.get(info.key).data) for info in blobs.list(f"captures/{LINE}/")]


async def until_stored(blobs: S3Blobs, count: int, cam: Cam) -> None:
    async def enough() -> bool:
        return len(list(blobs.list(f"captures/{LINE}/"))) >= count

    await wait_for(enough, 60, f"{count} captures", on_fail=cam.log.read_text)


async def test_killed_in_mid_flight_it_hands_over_every_image_once(
    ingest: StageProcess, blobs: S3Blobs, cam: Cam
) -> None:
    cam.shoot(0, 150)
    for count in (10, 60):
        with cam.watch("--parallel", "8") as process:
            await until_stored(blobs, count, cam)
            process.kill()
    cam.shoot(150, 160)
    with cam.watch("--once", "--move-to", str(cam.folder.parent / "done")) as process:
        assert await asyncio.to_thread(process.wait, 60) == 0, cam.log.read_text()
    found = receipts(blobs)
    files = {file.stem: file for file in (cam.folder.parent / "done").iterdir()}
    assert (len(found), len(files), list(cam.folder.iterdir())) == (160, 160, [])
    assert {receipt.serial: receipt.image_id for receipt in found} == {
        serial: sha256_hex(file.read_bytes()) for serial, file in files.items()
    }
    assert all(
        receipt.captured_at.timestamp() == pytest.approx(files[receipt.serial].stat().st_mtime) for receipt in found
    )


async def test_while_ingest_is_dead_images_wait_and_then_none_is_missing(
    ingest: StageProcess, blobs: S3Blobs, cam: Cam
) -> None:
    cam.shoot(0, 5)
    with cam.watch() as process:
        await until_stored(blobs, 5, cam)
        ingest.kill()
        cam.shoot(5, 25)
        (cam.folder / "broken.png").write_bytes(b"no image")

        async def has_told() -> bool:
            return bool(cam.said("ingest accepts no images: "))

        await wait_for(has_told, 30, "the watch to say that ingest is away", on_fail=cam.log.read_text)
        await asyncio.sleep(1.5)
        ingest.start()
        await ingest.wait_ready()
        await until_stored(blobs, 25, cam)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 20) == 0, cam.log.read_text()
    assert {receipt.serial for receipt in receipts(blobs)} == {f"SN{number:04d}" for number in range(25)}
    assert (cam.said("ingest accepts no images: "), cam.said("ingest accepts no images: resolved after")) == (2, 1)
    assert cam.said("ended: 25 images sent to line press-1") == 1
    assert cam.said("broken.png") >= 1  # refused by now, or still waited for: told at the end in either case


async def test_an_unknown_line_is_reported_at_once(ingest: StageProcess, cam: Cam) -> None:
    async with IngestClient(ingest.url) as client:
        await client.delete_line(LINE)
    with cam.watch() as process:
        assert await asyncio.to_thread(process.wait, 30) == 1
    assert cam.said(f"siad line put {LINE} --product PRODUCT") == 1


async def test_times_of_names_are_read_in_the_zone_that_is_set(cam: Cam, blobs: S3Blobs) -> None:
    cam.shoot(0, 4)
    names = ("20251026-013000", "20251026-023000123", "20250330-023000", "00010101-000000")
    for number, name in enumerate(names):
        file = cam.folder / f"SN{number:04d}.png"
        os.utime(file, (DAY.timestamp() + number, DAY.timestamp() + number))
        file.rename(cam.folder / f"A{number}_{name}.png")
    with cam.watch("--once", "--zone", "Europe/Berlin", pattern=README) as process:
        assert await asyncio.to_thread(process.wait, 60) == 1, cam.log.read_text()  # one is refused
    assert {receipt.serial: receipt.captured_at for receipt in receipts(blobs)} == {
        "A0": datetime(2025, 10, 25, 23, 30, tzinfo=UTC),
        "A1": datetime(2025, 10, 26, 1, 30, 0, 123_000, tzinfo=UTC),  # the file was written in winter time
        "A2": DAY + timedelta(seconds=2),
    }
    for text in (
        "times in names are read in the zone Europe/Berlin",
        "read as 02:30:00+0100, as its file time says",
        "Europe/Berlin leaves out at the start of summer time",
        "refused: in its name, '00010101-000000' is before 2000-01-01",
        "of the images sent, names in the hour that the end of summer time repeats: 1",
        "of the images sent, names without a readable time (sent with file time): 1",
    ):
        assert cam.said(text) == 1, text
