"""`siad drift`: what changed in a line's images, and when."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import cv2
import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape

from siad.apps.cli import options
from siad.apps.cli.failures import reported_failures
from siad.apps.cli.show import write_file
from siad.apps.local.connection import connect
from siad.apps.local.machine import DATA
from siad.contracts.drift import CaptureReference, DriftCause, DriftEpisode, DriftRecord
from siad.contracts.errors import MissingError
from siad.contracts.ids import require_slug
from siad.contracts.json_codec import to_plain
from siad.contracts.keys import prefix_of_line_objects
from siad.runtime.blobs.port import Blobs
from siad.vision.images import Image, ImageError, decode_image

console = Console()

SIDE_PX: Final = 640  # long side of each image of a pair
SHOWN_MAX: Final = 10
DO: Final = {
    DriftCause.FOCUS: "check the lens: focus ring, vibration, condensation",
    DriftCause.LIGHT: "check lamp, exposure and stray light",
    DriftCause.SHIFT: "check the mounting of the camera and the stop of the part",
    DriftCause.DIRT: "clean lens, window and lamp at that place of the view",
    DriftCause.PRODUCT: "check which product runs: siad line show; new normals where the change is wanted",
    DriftCause.PROCESS: "look at the newest captures: siad review; the parts themselves change",
}

Save = Annotated[Path | None, typer.Option("--save", metavar="DIR", help="Write the images side by side as PNG.")]
Line = Annotated[str, typer.Argument(help="The line.")]


def drift(line: Line, save: Save = None, data: options.Data = DATA, as_json: options.Json = False) -> None:
    """Show what drifts in the images of a line.

    Since when, and against what is usual. Exit status 0, also while something drifts. With --save, a picture of each
    drift: on the left a capture as usual, on the right the one at which the drift was detected.
    """
    with reported_failures():
        require_slug("line", line)
        blobs = connect(data).blobs
        records = read_drifts(blobs, line)
        paths = [] if save is None else list(save_pairs(blobs, records, save))
    if as_json:
        print(json.dumps([to_plain(record) for record in records], indent=2))
        return
    if not any(record.drifts for record in records):
        console.print(f"no drift of line {line} was recorded", highlight=False)
    for record in records:
        for text in describe_record(record):
            console.print(escape(text), highlight=False, soft_wrap=True)
    for path in paths:
        console.print(str(path), highlight=False, soft_wrap=True)


def read_drifts(blobs: Blobs, line: str) -> list[DriftRecord]:
    """Read the records of a line, one for each product."""
    return [
        DriftRecord.from_json(blobs.get(info.key).data) for info in blobs.list(prefix_of_line_objects("drift", line))
    ]


def describe_record(record: DriftRecord) -> Iterator[str]:
    """Describe lasting drifts, then the newest that ended."""
    ended = [one for one in record.drifts if one.until_at is not None]
    for one in (*record.lasting(), *reversed(ended[-SHOWN_MAX:])):
        until = "" if one.until_at is None else f", until {one.until_at:%Y-%m-%d %H:%M:%S} UTC"
        yield f"{record.line}/{record.product}: {one.cause.value} since {one.since_at:%Y-%m-%d %H:%M:%S} UTC{until}"
        yield f"  {describe_evidence(one)}"
        if one.until_at is None:
            yield f"  do: {DO[one.cause]}"


def describe_evidence(episode: DriftEpisode) -> str:
    """State the statistic against what is usual."""
    one = episode.evidence
    where = "" if one.place is None else f" at {one.place[0]:.0%} from the left and {one.place[1]:.0%} from the top"
    before = "none seen" if episode.before is None else episode.before.capture_id
    return (
        f"{one.statistic}{where}: {one.value:.4g}, usual {one.usual:.4g} ± {one.deviation:.2g} ({one.deviations:+.1f} "
        f"deviations); detected at capture {episode.after.capture_id}, as usual: {before}"
    )


def save_pairs(blobs: Blobs, records: list[DriftRecord], folder: Path) -> Iterator[Path]:
    """Write a picture of each drift; yield its path.

    Raises:
        OSError: a file can't be written.
    """
    for record in records:
        for one in record.drifts:
            pair = [_picture(blobs, reference) for reference in (one.before, one.after)]
            name = f"{record.line}.{record.product}.{one.cause.value}.{one.since_at:%Y%m%dT%H%M%S}.png"
            yield write_file(folder / name, cv2.imencode(".png", np.hstack(pair))[1].tobytes())


def _picture(blobs: Blobs, reference: CaptureReference | None) -> NDArray[np.uint8]:
    """Draw one image in a square, with its capture below.

    uint8 [H, W, 3], BGR.
    """
    canvas = np.full((SIDE_PX + 30, SIDE_PX + 10, 3), 255, np.uint8)
    text = "no usual capture was seen"
    if reference is not None:
        text = f"{reference.capture_id[:12]} {reference.captured_at:%Y-%m-%d %H:%M:%S}"
        try:
            image_HWC = decode_image(blobs.get(blobs.key_of(reference.image_uri)).data)
        except (MissingError, ImageError):
            text += " (deleted)"
        else:
            scale = SIDE_PX / max(image_HWC.shape[:2])
            shown = cv2.resize(_as_8_bits(image_HWC), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            shown = np.repeat(shown[:, :, None], 3, 2) if shown.ndim == 2 else shown[:, :, 2::-1]
            canvas[: shown.shape[0], : shown.shape[1]] = shown[:SIDE_PX, :SIDE_PX]
    cv2.putText(canvas, text, (4, SIDE_PX + 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    return canvas


def _as_8_bits(image_HWC: Image) -> NDArray[Any]:
    return image_HWC if image_HWC.dtype == np.uint8 else (image_HWC // 257).astype(np.uint8)
