"""Options that several commands share."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from siad.apps.cli import bounds
from siad.apps.local.bus_choice import BusKind
from siad.apps.local.machine import read_state


class Purpose(StrEnum):
    """What an image is for; an intent that a sender may state."""

    INSPECT = "inspect"
    NORMAL = "normal"


def parse_folder(text: str | Path) -> Path:
    """Read the path of a folder.

    An empty text is refused: it would be the present folder.
    """
    if not str(text).strip():
        msg = "the path is empty; name a folder, '.' is the present one"
        raise typer.BadParameter(msg)
    return Path(text)


Url = Annotated[str | None, typer.Option("--url", help="Address of ingest; default: that of the `siad up` on --data.")]
ConsoleUrl = Annotated[
    str | None, typer.Option("--url", help="Address of the console; default: that of the `siad up` on --data.")
]
Data = Annotated[
    Path,
    typer.Option("--data", metavar="PATH", parser=parse_folder, help="Data folder of the `siad up` to use."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Bus = Annotated[
    BusKind,
    typer.Option("--bus", help="Which bus transports the events. auto: Kafka if available, else the embedded bus."),
]
Intent = Annotated[
    Purpose, typer.Option("--intent", help="inspect: give a verdict. normal: known good, to fit the teacher on.")
]


THREADS: Final = min(4, os.cpu_count() or 1)
Threads = Annotated[int, typer.Option(callback=bounds.threads, help="Threads of the network.")]
Budget = Annotated[
    float | None,
    typer.Option(
        callback=bounds.budget,
        help="Fraction of good parts that may be rejected; left out: 0.05, tightened as normals grow.",
    ),
]
Pixels = Annotated[
    int,
    typer.Option(
        callback=bounds.side_px(16, 8192),
        help="Compute pixel figures at the area of a square of this side; 0: image size.",
    ),
]
Seed = Annotated[
    int,
    typer.Option(
        callback=bounds.whole(0, bounds.SEED_MAX, "seed"), help="Seed of every draw; equal seeds give equal figures."
    ),
]


def ingest_address(url: str | None, data: Path) -> str:
    """Address of ingest.

    Raises:
        FileNotFoundError: no address was given, and `siad up` does not run on ``data``.
    """
    return read_state(data)["ingest"] if url is None else url


def console_address(url: str | None, data: Path) -> str:
    """Address of the console.

    Raises:
        FileNotFoundError: no address was given, and `siad up` does not run on ``data``.
    """
    return read_state(data)["console"] if url is None else url
