"""`siad verdict`: the receipt of a capture, and a judgement by today's weights."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.markup import escape

from siad.apps.cli import options
from siad.apps.cli.failures import reported_failures
from siad.apps.cli.show import require_folder, save_files, write_file
from siad.apps.cli.tables import print_pairs
from siad.apps.local.connection import PlantConnection, connect
from siad.apps.local.machine import DATA
from siad.audit.capture_report import read_report
from siad.audit.captures import CaptureMatch, find_matches, parse_prefix, read_capture, require_line, require_one
from siad.audit.lineage import LineLineage, read_lineage
from siad.audit.receipt import VerdictReceipt, compare, describe_answer, describe_lineage
from siad.audit.today import JudgementToday, JudgeToday
from siad.audit.verdicts import VerdictLog
from siad.contracts.errors import MissingError, TransientError
from siad.contracts.events import VerdictGiven
from siad.contracts.ids import require_slug
from siad.contracts.json_codec import to_plain
from siad.runtime.blobs.port import get_verified
from siad.vision.images import decode_image
from siad.vision.masks import encode_mask
from siad.vision.overlay import draw_overlay

MS: Final = 1000
console, errors = Console(), Console(stderr=True)


def verdict(
    name: Annotated[
        str,
        typer.Argument(
            metavar="CAPTURE|SERIAL",
            help="Id of a capture or of an image, its first digits are enough; or the serial number of a part.",
        ),
    ],
    line: Annotated[str | None, typer.Option("--line", help="Search only this line.")] = None,
    save: Annotated[
        Path | None,
        typer.Option("--save", help="Write image, masks, overlays and CAPTURE.receipt.json into this folder."),
    ] = None,
    data: options.Data = DATA,
    as_json: options.Json = False,
) -> None:
    """Show what judged a capture and why, and judge it again.

    The verdict as it was given: weights, runner, thresholds, settings and times. What people answered, what the weights
    learned from, and what the weights in service now say about the same image; nothing is published. Of a serial
    number, every capture. Reads broker and store of the `siad up` on --data, or those that SIAD_BUS_* and SIAD_STORE_*
    name.
    """
    with reported_failures():
        if line is not None:
            require_slug("--line", line)
        if save is not None:
            require_folder(save)
        plant = connect(data)
        receipts = [*_receipts(plant, *_find(plant, name, line))]
        if as_json:
            print(json.dumps({"captures": [_document(one) for one in receipts]}, indent=2))
        for number, one in enumerate(receipts):
            if not as_json:
                if number:
                    console.print()
                print_pairs(console, [*_rows(one)])
            if save is not None:
                for path in _save(plant, one, save):
                    errors.print(f"wrote {escape(str(path))}", highlight=False, soft_wrap=True)


def _find(plant: PlantConnection, name: str, line: str | None) -> tuple[list[CaptureMatch], list[VerdictGiven]]:
    """Find the captures that a name means, and their verdicts.

    The name is the beginning of an id, or a serial number. The store is searched for ids, the topic for serial numbers.

    Raises:
        LookupError: nothing has this name, or an id is not unique; says what was searched.
        TransientError: the store is unavailable.
    """
    matches: list[CaptureMatch] = []
    with suppress(ValueError):  # no beginning of an id
        prefix = parse_prefix(name)
        matches = find_matches(plant.blobs, prefix, line=line)
    if line is not None:
        require_line(plant.blobs, line)
    log = VerdictLog(plant.bus)
    if matches:
        match = require_one(matches, prefix)
        asked = (match.line, match.capture_id)
        try:
            return [match], asyncio.run(log.find(lambda one: (one.line, one.capture_id) == asked))
        except TransientError as error:
            errors.print(f"verdicts could not be read: {error}", highlight=False, soft_wrap=True)
            return [match], []
    found, searched = asyncio.run(log.find_all(lambda one: one.serial == name and line in (None, one.line)))
    if not found:
        where = f"line {line}" if line else "this plant"
        msg = (
            f"{name!r} is unknown. Searched: the ids of all captures and images of {where}, and the serial numbers of "
            f"the {searched:,} verdicts in the topic. Copy a name from siad verdicts; verdicts older than "
            "SIAD_BUS_WORK_RETENTION_H are found by the id of their capture alone"
        )
        raise LookupError(msg)
    named = dict.fromkeys((one.line, one.capture_id) for one in sorted(found, key=lambda one: one.captured_at))
    return [CaptureMatch(line=of, capture_id=capture_id) for of, capture_id in named], found


def _receipts(
    plant: PlantConnection, matches: Sequence[CaptureMatch], verdicts: Sequence[VerdictGiven]
) -> Iterator[VerdictReceipt]:
    judge = JudgeToday(plant.blobs)
    lineages: dict[str, LineLineage] = {}
    for match in matches:
        try:
            receipt = read_capture(plant.blobs, match)
        except (LookupError, MissingError) as error:
            if len(matches) == 1:
                raise
            errors.print(f"{match.capture_id} left out: {error}", highlight=False, soft_wrap=True, markup=False)
            continue
        own = [one for one in verdicts if (one.line, one.capture_id) == (match.line, match.capture_id)]
        report = read_report(plant.blobs, receipt, own)
        if match.line not in lineages:
            lineages[match.line] = read_lineage(plant.blobs, match.line)
        today, mask_HW = judge.judge(receipt)
        first = own[0] if own else None
        yield VerdictReceipt(
            report=report,
            today=today,
            agreement=compare(first, today),
            lineage=describe_lineage(first, lineages[match.line]),
            today_mask_HW=mask_HW,
        )


def _document(one: VerdictReceipt) -> dict[str, Any]:
    report: dict[str, Any] = to_plain(one.report)
    return report | {"lineage": one.lineage, "today": to_plain(one.today), "agreement": one.agreement}


def _rows(one: VerdictReceipt) -> Iterator[tuple[str, str]]:
    receipt, report = one.report.receipt, one.report
    yield "capture", f"{receipt.capture_id} of {receipt.line}/{receipt.product}"
    if receipt.serial:
        yield "serial", receipt.serial
    yield "captured", f"{receipt.captured_at:%Y-%m-%d %H:%M:%S} UTC"
    yield "image", report.image_problem or f"{receipt.image_uri} ({receipt.size_bytes:,} bytes)"
    if (given := one.verdict) is None:
        yield "verdict", "none in the topic: not judged yet, a normal, or older than the retention of the topic"
    else:
        yield from _verdict_rows(given)
    if len(report.verdicts) > 1:
        yield "repeated", f"{len(report.verdicts) - 1} times; the first verdict counts"
    yield "answer", describe_answer(one.verdict, report.answers)
    yield "lineage", one.lineage
    yield "today", _judged(one.today)
    yield "the same?", one.agreement


def _verdict_rows(given: VerdictGiven) -> Iterator[tuple[str, str]]:
    yield "verdict", f"{given.decision.value} at {given.judged_at:%Y-%m-%d %H:%M:%S} UTC"
    if given.reason:
        yield "reason", f"{given.reason}: {given.detail}" if given.detail else given.reason
    if given.weights:
        by = f" by {given.runner}" if given.runner else ""
        as_canary = f", candidate of trial {given.trial}, as a canary" if given.trial else ""
        yield "weights", f"{given.weights_kind.value} {given.weights}{by}{as_canary}"
        pixel = f", of pixels {given.pixel_threshold:.6g}" if given.pixel_threshold else ""
        rule = f"threshold set {given.threshold_revision}" if given.threshold_revision else "the manifest"
        yield "score", f"{given.score:.6g}; threshold {given.threshold:.6g}{pixel}, of {rule}"
        if given.false_rejects_high:
            yield "expects", _expected(given)
        if given.regions:
            yield "regions", f"{len(given.regions)}, the largest of {given.regions[0].area_px:,} px"
    yield "settings", f"revision {given.line_revision}"
    yield "took", _steps(given)


def _expected(given: VerdictGiven) -> str:
    """What the threshold was expected to reject when it judged."""
    advice = f". {given.advice}" if given.advice else ""
    return (
        f"about {given.false_rejects:.1%} of good parts to be rejected, with 90% probability "
        f"{given.false_rejects_low:.1%} to {given.false_rejects_high:.1%}{advice}"
    )


def _steps(given: VerdictGiven) -> str:
    steps = (
        ("waiting", given.wait_s),
        ("fetching", given.fetch_s - given.decode_s),
        ("decoding", given.decode_s),
        ("predicting", given.score_s),
        ("writing the mask", given.mask_s),
        ("waiting to publish", given.publish_wait_s),
    )
    return ", ".join(f"{name} {MS * seconds:.1f} ms" for name, seconds in steps)


def _judged(today: JudgementToday) -> str:
    if today.reason:
        return f"{today.decision.value}: {today.reason}"
    score = f"score {today.score:.6g}, threshold {today.threshold:.6g}"
    by = f"{today.weights_kind.value} {today.weights} by {today.runner}"
    return f"{today.decision.value}: {score}, {by}, settings revision {today.line_revision}"


def _save(plant: PlantConnection, one: VerdictReceipt, folder: Path) -> Iterator[Path]:
    """Write the files of `siad show --save`, today's mask, and the receipt."""
    capture_id = one.report.receipt.capture_id
    yield write_file(folder / f"{capture_id}.receipt.json", json.dumps(_document(one), indent=2).encode() + b"\n")
    if one.today_mask_HW is not None:
        receipt = one.report.receipt
        image = get_verified(plant.blobs, plant.blobs.key_of(receipt.image_uri), sha256=receipt.image_id)
        overlay = draw_overlay(decode_image(image), one.today_mask_HW)
        yield write_file(folder / f"{capture_id}.mask-today.png", encode_mask(one.today_mask_HW))
        yield write_file(folder / f"{capture_id}.overlay-today.png", overlay)
    yield from save_files(plant.blobs, one.report, folder)
