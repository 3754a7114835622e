"""`siad data`: captures and answers to and from other tools."""

import asyncio
import getpass
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final
from zipfile import BadZipFile, ZipFile

import typer
from rich.console import Console

from siad.apps.cli import options
from siad.apps.cli.failures import reported_failures
from siad.apps.console_client import ConsoleClient
from siad.apps.files import printable
from siad.apps.local.machine import DATA
from siad.apps.output_file import check_outputs

console = Console()
data_app = typer.Typer(name="data", help="Captures and answers to and from other tools.", no_args_is_help=True)

FORMATS: Final = ("coco", "voc", "yolo", "png", "mvtec", "all")
REASONS: Final = {
    "open": "not answered",
    "unsure": "answered unsure",
    "no-outline": "a defect without an outline",
    "in-quarantine": "in quarantine",
    "erased": "erased on request, of the whole line",
    "expired": "image deleted by age",
    "unreadable": "image or mask unreadable",
}


def _format(text: str) -> str:
    if text not in FORMATS:
        msg = f"{text!r} is no format; nothing was exported. Take one of {', '.join(FORMATS)}"
        raise typer.BadParameter(msg)
    return text


@data_app.command("export")
def export(  # noqa: PLR0913, PLR0917 - Typer reads the options from here
    line: Annotated[str, typer.Argument(metavar="LINE", help="Its name.")],
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="|".join(FORMATS),
            parser=_format,
            help="Format. png: a mask for each image. all: everything stored of the captures, weights and lineage.",
        ),
    ],
    out: Annotated[Path | None, typer.Option("--out", help="File to write; default: LINE-FORMAT.zip.")] = None,
    state: Annotated[str | None, typer.Option("--state", help="Only open, answered or skipped captures.")] = None,
    verdict: Annotated[str | None, typer.Option("--verdict", help="Only answered good, defect or unsure.")] = None,
    decision: Annotated[
        str | None, typer.Option("--decision", help="Only what the line passed: pass, or reject.")
    ] = None,
    class_name: Annotated[str | None, typer.Option("--class", help="Only with a mark of this class.")] = None,
    product: Annotated[str | None, typer.Option("--product", help="Only of this product.")] = None,
    serial: Annotated[str | None, typer.Option("--serial", help="Only of this serial number.")] = None,
    person: Annotated[str | None, typer.Option("--person", help="Only last answered by this person.")] = None,
    since: Annotated[str | None, typer.Option("--since", help="Received at this time or later, with zone.")] = None,
    before: Annotated[str | None, typer.Option("--before", help="Received earlier than this time, with zone.")] = None,
    url: options.ConsoleUrl = None,
    data: options.Data = DATA,
    as_json: options.Json = False,
) -> None:
    """Export a line's captures, answers and normals as a zip.

    Images are those that were sent. COCO, VOC and png keep every pixel of the masks; yolo and mvtec can't, and the
    command says what they lose. Left out, and counted: captures without an answer or with the answer unsure, defects
    without an outline, and what was erased; except in the format all.
    """
    chosen = {"state": state, "verdict": verdict, "decision": decision, "class": class_name, "product": product}
    chosen |= {"serial": serial, "person": person, "received_from": since, "received_before": before}
    params = {name: value for name, value in chosen.items() if value is not None} | {"format": to}
    path = out or Path(f"{line}-{to}.zip")
    with reported_failures():
        check_outputs([path])
        size, summary = asyncio.run(_export(options.console_address(url, data), line, params, path))
    if as_json:
        print(json.dumps({"file": printable(path), "bytes": size, **summary}, indent=2))
        return
    console.print(_describe(path, size, summary), highlight=False, soft_wrap=True, markup=False)


@data_app.command("import")
def import_(
    line: Annotated[str, typer.Argument(metavar="LINE", help="Its name.")],
    archive: Annotated[Path, typer.Argument(metavar="FILE.zip|DIR", help="A zip, or a folder with the same files.")],
    check: Annotated[bool, typer.Option("--check", help="Only say what would be stored.")] = False,
    person: Annotated[
        str | None, typer.Option("--person", help="Answers are stored as import:NAME; default: this user.")
    ] = None,
    url: options.ConsoleUrl = None,
    data: options.Data = DATA,
    as_json: options.Json = False,
) -> None:
    """Import images and answers of another tool or line.

    COCO, Pascal VOC, YOLO, images and masks, MVTec, or an export by SIAD. Everything is checked first: of an archive
    with a problem nothing is stored. Images go in as by siad send, answers as corrections. Other answers stay, and a
    repeat changes nothing.
    """
    params = {"person": person or getpass.getuser(), "check": "true" if check else "false"}
    with reported_failures(), opened_archive(archive) as source:
        report = asyncio.run(_import(options.console_address(url, data), line, source, params))
    if as_json:
        print(json.dumps(report, indent=2))
    else:
        console.print(describe_import(report), highlight=False, soft_wrap=True, markup=False)
    if report["problem_count"]:
        raise typer.Exit(1)


async def _import(address: str, line: str, source: BinaryIO, params: dict[str, str]) -> dict[str, Any]:
    async with ConsoleClient(address) as client:
        return await client.import_archive(line, source, params)


@contextmanager
def opened_archive(path: Path) -> Iterator[BinaryIO]:
    """Open a zip, or pack a folder into a temporary one.

    Raises:
        ValueError: the folder has a link, or no file.
    """
    if not path.is_dir():
        with path.open("rb") as source:
            yield source
        return
    with tempfile.TemporaryFile() as packed:
        with ZipFile(packed, "w") as target:
            for file in sorted(path.rglob("*")):
                if file.is_symlink():
                    msg = f"{printable(file)} is a link; nothing was sent. Put the file itself there"
                    raise ValueError(msg)
                if file.is_file():
                    target.write(file, file.relative_to(path).as_posix())
            if not target.namelist():
                msg = f"{printable(path)} has no file; nothing was sent"
                raise ValueError(msg)
        packed.seek(0)
        yield packed


def describe_import(report: dict[str, Any]) -> str:
    """Say what was stored, or why nothing was."""
    images = f"{report['images']} images ({report['normals']} normals), {report['new_images']} of them new"
    lines = [f"{report['format']}: {images}"]
    counts = (("answers", "answers"), ("unchanged", "answers are there already"), ("kept", "other answers stay"))
    lines += [f"{report[name]} {words}" for name, words in counts]
    if report["unanswered"]:
        lines.append(f"{report['unanswered']} images about which the archive says nothing")
    lines += [f"warning: {text}" for text in report.get("warnings", ())]
    lines += [f"{one['file']}: {one['detail']}" for one in report["problems"]]
    if more := report["problem_count"] - len(report["problems"]):
        lines.append(f"and {_problems(more, 'more ')}")
    if report["problem_count"]:
        done = "nothing was stored" if report["is_check"] else "the rest was stored"
        lines.append(f"{_problems(report['problem_count'])}; {done}")
    elif report["is_check"]:
        lines.append("nothing was stored: this was a check")
    return "\n".join(lines)


def _problems(count: int, which: str = "") -> str:
    return f"{count} {which}{'problem' if count == 1 else 'problems'}"


async def _export(address: str, line: str, params: dict[str, str], path: Path) -> tuple[int, dict[str, Any]]:
    """Download beside the file and move it there once it is whole."""
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as target:
            async with ConsoleClient(address) as client:
                size = await client.export(line, params, target)
        summary = read_summary(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return size, summary


def read_summary(path: Path) -> dict[str, Any]:
    """Read the summary of an export.

    Raises:
        ValueError: the zip is cut off.
    """
    try:
        with ZipFile(path) as archive:
            found: dict[str, Any] = json.loads(archive.read("export.json"))
    except (BadZipFile, KeyError) as error:
        msg = "the export was cut off; nothing was written. Repeat the command; the log of the console says why"
        raise ValueError(msg) from error
    return found


def _describe(path: Path, size: int, summary: dict[str, Any]) -> str:
    normals = f", {summary['normals']} of them normals" if summary["normals"] else ""
    lines = [f"{printable(path)}: {summary['captures']} captures{normals}, {size / 1e6:.1f} MB"]
    lines += [f"left out: {count} {REASONS.get(name, name)}" for name, count in summary["left_out"].items()]
    if "iou" in summary:
        least = summary["iou_least"]
        lines.append(f"polygons have no holes: IoU with the masks {summary['iou']:.4f}, of the worst {least:.4f}")
    if summary.get("unsure_px"):
        lines.append(f"{summary['unsure_px']} unsure pixels are good in this format")
    return "\n".join(lines)
