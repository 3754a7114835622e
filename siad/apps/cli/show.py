"""`siad show`: one capture with its verdict, masks and image."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.markup import escape

from siad.apps.cli import options
from siad.apps.cli.failures import reported_failures
from siad.apps.cli.tables import print_pairs
from siad.apps.cli.verdicts import box_of
from siad.apps.local.connection import PlantConnection, connect
from siad.apps.local.machine import DATA
from siad.audit.capture_report import LEARNED, LEFT_OUT, SUSPECT, CaptureReport, MaskRecord, read_report
from siad.audit.captures import find_matches, parse_prefix, read_capture, require_one
from siad.audit.verdicts import VerdictLog
from siad.contracts.errors import CorruptError, TransientError
from siad.contracts.events import ImageStored, Intent, VerdictGiven, WeightsKind
from siad.contracts.ids import require_slug
from siad.contracts.json_codec import to_plain
from siad.contracts.quarantine import TaintedKind
from siad.runtime.blobs.port import Blobs, get_verified
from siad.vision.images import ImageError, decode_image
from siad.vision.masks import decode_mask
from siad.vision.overlay import draw_overlay

REGIONS_SHOWN: Final = 8
WEIGHTS_CHARS: Final = 12
USES: Final = {
    LEARNED: "{} learned from it",
    LEFT_OUT: "{} left it out as an outlier",
    SUSPECT: "suspect to {}",
    "": "not among the normals of {}",
}

console, errors = Console(), Console(stderr=True)


def show(
    capture: Annotated[
        str, typer.Argument(metavar="CAPTURE", help="Id of a capture or of an image; its first digits are enough.")
    ],
    line: Annotated[str | None, typer.Option("--line", help="Search only this line.")] = None,
    save: Annotated[
        Path | None, typer.Option("--save", help="Write the image, its masks and an overlay into this folder.")
    ] = None,
    data: options.Data = DATA,
    as_json: options.Json = False,
) -> None:
    """Show one capture: verdict, score, weights, regions and masks.

    Of a normal, also whether the teacher learned from it or left it out. Reads broker and store of the `siad up` on
    --data, or those that SIAD_BUS_* and SIAD_STORE_* name. With --save it writes the image as it was sent, and each
    mask alone (CAPTURE.mask-WEIGHTS.png) and over the image (CAPTURE.overlay-WEIGHTS.png); that of
    the verdict ends in -verdict.
    """
    with reported_failures():
        prefix = parse_prefix(capture)
        if line is not None:
            require_slug("--line", line)
        if save is not None:
            require_folder(save)
        plant = connect(data)
        receipt = read_capture(plant.blobs, require_one(find_matches(plant.blobs, prefix, line=line), prefix))
        verdicts, reason = _read_verdicts(plant, receipt)
        report = read_report(plant.blobs, receipt, verdicts)
        if as_json:
            print(json.dumps(to_plain(report), indent=2))
        else:
            print_pairs(console, [*_rows(report, reason)])
        if save is not None:
            for path in save_files(plant.blobs, report, save):
                errors.print(f"wrote {escape(str(path))}", highlight=False, soft_wrap=True)
            if not report.masks:
                errors.print("no mask is stored: nothing was marked on this image", highlight=False)


def require_folder(folder: Path) -> None:
    """Create the folder before anything is read.

    Raises:
        OSError: it can't be created or written; says why.
    """
    if folder.exists() and not folder.is_dir():
        msg = f"--save {folder} is a file; nothing was written. Name a folder"
        raise NotADirectoryError(msg)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".siad-write-test"
        probe.touch()
        probe.unlink()
    except OSError as error:
        msg = f"--save {folder} can't be written: {error.strerror or error}; nothing was written. Name another folder"
        raise OSError(msg) from error


def _read_verdicts(plant: PlantConnection, receipt: ImageStored) -> tuple[list[VerdictGiven], str]:
    """Verdicts of a capture, and why there is none."""
    if receipt.intent is Intent.NORMAL:
        return [], "none: a normal gets no verdict"
    log = VerdictLog(plant.bus)
    try:
        found = asyncio.run(log.find(lambda one: (one.line, one.capture_id) == (receipt.line, receipt.capture_id)))
    except TransientError as error:
        return [], f"could not be read: {error}"
    return found, "none: not judged yet, or its verdict is older than the retention of the topic"


def _rows(report: CaptureReport, no_verdict: str) -> Iterator[tuple[str, str]]:
    receipt = report.receipt
    yield "capture", receipt.capture_id
    yield "line", receipt.line
    yield "product", receipt.product
    if receipt.serial:
        yield "serial", receipt.serial
    yield "captured", f"{receipt.captured_at:%Y-%m-%d %H:%M:%S} UTC"
    yield "received", f"{receipt.received_at:%Y-%m-%d %H:%M:%S} UTC"
    yield "intent", receipt.intent.value
    if report.normal_use is not None:
        yield "use", USES[report.normal_use.use].format(f"teacher {report.normal_use.weights[:WEIGHTS_CHARS]}")
    yield "image", report.image_problem or f"{receipt.image_uri} ({receipt.size_bytes:,} bytes)"
    if not report.verdicts:
        yield "verdict", no_verdict
    else:
        yield from _verdict_rows(report.verdicts[-1])
        for earlier in report.verdicts[:-1]:
            yield "earlier", f"{earlier.decision.value} at {earlier.judged_at:%Y-%m-%d %H:%M:%S} UTC"
    yield from _mask_rows(report)
    for answer in report.answers:
        drawn = f": {answer.mask_uri}" if answer.mask_uri else ""
        when = f"{answer.corrected_at:%Y-%m-%d %H:%M:%S} UTC"
        yield "answer", f"{answer.verdict.value}, revision {answer.revision}, by {answer.author} at {when}{drawn}"
    for record in report.quarantine:
        subject = "the capture" if record.kind is TaintedKind.CAPTURE else f"answer {record.subject.partition('-')[2]}"
        yield "quarantine", f"{subject}, since {record.tainted_at:%Y-%m-%d %H:%M:%S} UTC: {record.reason}"
    known = {one.mask_uri for one in report.answers} | {_record_of(report, one.revision) for one in report.answers}
    for uri in report.corrections:
        if uri not in known:
            yield "correction", uri


def _mask_rows(report: CaptureReport) -> Iterator[tuple[str, str]]:
    for mask in report.masks:
        name = "mask" if mask.is_of_verdict or mask.kind is not WeightsKind.TEACHER else "pseudo-mask"
        by = "" if mask.kind is WeightsKind.UNSPECIFIED else f"{mask.kind.value} "
        yield name, f"by {by}{mask.weights[:WEIGHTS_CHARS]}: {mask.uri}"
    is_of_segmenter = bool(report.verdicts) and report.verdicts[-1].weights_kind is WeightsKind.SEGMENTER
    if is_of_segmenter and not any(one.kind is WeightsKind.TEACHER and not one.is_of_verdict for one in report.masks):
        yield "pseudo-mask", "none: of what a segmenter passes clearly only a share is labelled (siad line get)"


def _record_of(report: CaptureReport, revision: int) -> str:
    """Address of the record of an answer, among those listed."""
    return next((uri for uri in report.corrections if uri.endswith(f"/{revision}.json")), "")


def _verdict_rows(verdict: VerdictGiven) -> Iterator[tuple[str, str]]:
    yield "verdict", f"{verdict.decision.value} at {verdict.judged_at:%Y-%m-%d %H:%M:%S} UTC"
    if verdict.reason:
        yield "reason", f"{verdict.reason}: {verdict.detail}" if verdict.detail else verdict.reason
    if verdict.weights:
        yield "score", f"{verdict.score:.6g}"
        yield "threshold", f"{verdict.threshold:.6g}"
        yield "weights", f"{verdict.weights_kind.value} {verdict.weights}"
    for region in verdict.regions[:REGIONS_SHOWN]:
        left, top, right, bottom = box_of(region)
        yield "region", f"x {left}..{right} y {top}..{bottom}, {region.area_px} px, peak {region.peak_score:.4g}"
    if (more := len(verdict.regions) - REGIONS_SHOWN) > 0:
        yield "region", f"and {more} more; --json has all"


def save_files(blobs: Blobs, report: CaptureReport, folder: Path) -> Iterator[Path]:
    """Write image, masks and overlays; yield the path of each file.

    Raises:
        LookupError: the image is not in the store; masks were written.
        CorruptError, MissingError: a stored object is damaged, or was removed meanwhile.
        OSError: a file can't be written.
    """
    receipt = report.receipt
    masks = {_file_part(mask): blobs.get(blobs.key_of(mask.uri)).data for mask in report.masks}
    for name, data in masks.items():
        yield write_file(folder / f"{receipt.capture_id}.{name}.png", data)
    if report.image_problem:
        msg = f"{report.image_problem}. Neither image nor overlay was written"
        raise LookupError(msg)
    image = get_verified(blobs, blobs.key_of(receipt.image_uri), sha256=receipt.image_id)
    yield write_file(folder / f"{receipt.capture_id}.{receipt.image_uri.rpartition('.')[2]}", image)
    try:
        for name, overlay in _overlays(report, image, masks):
            yield write_file(folder / f"{receipt.capture_id}.overlay{name}.png", overlay)
    except ImageError as error:
        msg = f"no overlay of capture {receipt.capture_id} was drawn: {error}. The image was written as it was sent"
        raise CorruptError(msg) from error


def _file_part(mask: MaskRecord) -> str:
    return f"mask-{mask.weights[:WEIGHTS_CHARS]}{'-verdict' if mask.is_of_verdict else ''}"


def _overlays(report: CaptureReport, image: bytes, masks: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """One overlay for each mask; without masks, one of the regions."""
    regions = report.verdicts[-1].regions if report.verdicts else ()
    if not masks and not regions:
        return
    decoded = decode_image(image)
    for name, mask in masks.items():
        yield name.removeprefix("mask"), draw_overlay(decoded, decode_mask(mask, may_ignore=True))
    if not masks:
        yield "", draw_overlay(decoded, None, regions)


def write_file(path: Path, data: bytes) -> Path:
    """Write one file and return its path.

    Raises:
        OSError: it can't be written; says why.
    """
    try:
        path.write_bytes(data)
    except OSError as error:
        msg = f"{path} can't be written: {error.strerror or error}"
        raise OSError(msg) from error
    return path
