"""`siad correct`: say what captures are, and read what was said."""

import asyncio
import getpass
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from siad.apps.cli import options
from siad.apps.cli.failures import describe_failure, print_failure, reported_failures
from siad.apps.client import ProblemError
from siad.apps.console_client import CaptureAnswer, ConsoleClient
from siad.apps.files import failure_of
from siad.apps.local.connection import connect
from siad.apps.local.machine import DATA
from siad.audit.captures import CAPTURE_DIGITS, CaptureMatch, find_matches, parse_prefix, require_one

_WHOLE: Final = re.compile(rf"[0-9a-f]{{{CAPTURE_DIGITS}}}")

console = Console()


def correct(  # noqa: PLR0913, PLR0917 - Typer reads the options from here
    captures: Annotated[
        list[str], typer.Argument(metavar="CAPTURE...", help="Ids of captures; their first digits are enough.")
    ],
    good: Annotated[bool, typer.Option("--good", help="The part is good.")] = False,
    defect: Annotated[bool, typer.Option("--defect", help="The part is defective.")] = False,
    unsure: Annotated[bool, typer.Option("--unsure", help="The image does not show which.")] = False,
    mask: Annotated[
        Path | None,
        typer.Option(
            "--mask", help="Where the defect is: a grey 8-bit PNG of the image's size, 0 good, 128 unsure, 255 defect."
        ),
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Only print what was said before.")] = False,
    line: Annotated[str | None, typer.Option("--line", help="Search only this line.")] = None,
    if_revision: Annotated[
        int | None,
        typer.Option("--if-revision", min=0, help="Only if the capture is at this revision; 0: not answered yet."),
    ] = None,
    author: Annotated[str | None, typer.Option("--author", help="Name of the person; default: this user.")] = None,
    url: options.ConsoleUrl = None,
    data: options.Data = DATA,
    as_json: options.Json = False,
) -> None:
    """Say what captures are: good, defective or unsure.

    Each answer is a new revision of the capture's correction, so another answer undoes the one before, and all are
    kept. The stages learn from the last one. A repeat of the same answer changes nothing.
    """
    answer = None if show else _answer(_verdict(good, defect, unsure), mask, captures, author, if_revision)
    with reported_failures():
        matches = _find(captures, line, data)
        results, failures = asyncio.run(_run(options.console_address(url, data), matches, answer))
    if as_json:
        print(json.dumps({"corrections": results}, indent=2))
    else:
        for result in results:
            console.print(_describe(result), highlight=False, soft_wrap=True, markup=False)
        if show and not results and not failures:
            console.print("no correction yet", highlight=False)
    for failure in failures:
        print_failure(failure)
    if failures:
        raise typer.Exit(1)


def _verdict(good: bool, defect: bool, unsure: bool) -> str:
    given = [name for name, is_given in (("good", good), ("defect", defect), ("unsure", unsure)) if is_given]
    if len(given) != 1:
        what = f"--{' and --'.join(given)} contradict each other" if given else "no answer was given"
        msg = f"{what}; nothing was stored. Give one of --good, --defect and --unsure"
        raise typer.BadParameter(msg)
    return given[0]


def _answer(
    verdict: str, mask: Path | None, captures: Sequence[str], author: str | None, if_revision: int | None
) -> CaptureAnswer:
    if mask is not None and (verdict != "defect" or len(captures) > 1):
        why = "it shows a defect" if verdict != "defect" else f"{len(captures)} captures were named"
        msg = f"--mask belongs to one capture with --defect, and {why}; nothing was stored"
        raise typer.BadParameter(msg)
    try:
        drawn = b"" if mask is None else mask.read_bytes()
    except OSError as error:
        msg = f"{failure_of(error)}; nothing was stored"
        raise typer.BadParameter(msg, param_hint="--mask") from error
    if mask is not None and not drawn:
        msg = f"{mask} is empty; nothing was stored"
        raise typer.BadParameter(msg, param_hint="--mask")
    return CaptureAnswer(verdict=verdict, author=author or _user(), mask=drawn, if_revision=if_revision)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError) as error:  # a container without this user
        msg = "the system has no name for this user; nothing was stored. Name the person with --author"
        raise typer.BadParameter(msg) from error


def _find(captures: Sequence[str], line: str | None, data: Path) -> list[CaptureMatch]:
    """Find captures by their first digits.

    Whole ids of a named line need no search.

    Raises:
        LookupError: one of them names no capture, or several.
        ValueError: it is no beginning of an id.
    """
    if line is not None and all(_WHOLE.fullmatch(one) for one in captures):
        return [CaptureMatch(line=line, capture_id=one) for one in captures]
    blobs = connect(data).blobs
    try:
        prefixes = [parse_prefix(one) for one in captures]
        return [require_one(find_matches(blobs, prefix, line=line), prefix) for prefix in prefixes]
    except (LookupError, ValueError) as error:
        if len(captures) == 1:
            raise
        msg = f"{error}. Nothing was done for the other captures either: name them again without this one"
        raise LookupError(msg) from error


async def _run(
    address: str, matches: Sequence[CaptureMatch], answer: CaptureAnswer | None
) -> tuple[list[dict[str, Any]], list[str]]:
    """Send one request for each capture; a refusal stops no other."""
    results: list[dict[str, Any]] = []
    failures: list[str] = []
    async with ConsoleClient(address) as client:
        for match in matches:
            try:
                if answer is None:
                    results += await client.corrections(match.line, match.capture_id)
                else:
                    results.append(await client.correct(match.line, match.capture_id, answer))
            except ProblemError as error:
                failures.append(describe_failure(error))
    return results, failures


def _describe(one: dict[str, Any]) -> str:
    when = datetime.fromisoformat(one["corrected_at"]).astimezone(UTC)
    mask = ", with a mask" if one["mask_uri"] else ""
    return (
        f"capture {one['capture_id']} of line {one['line']}: {one['verdict']}{mask}, revision {one['revision']}, by "
        f"{one['author']} at {when:%Y-%m-%d %H:%M:%S} UTC"
    )
