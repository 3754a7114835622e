"""Options that several commands share."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from siad.apps.local.bus_choice import BusKind
from siad.apps.local.machine import read_state


class Purpose(StrEnum):
    """What an image is for; an intent that a sender may state."""

    INSPECT = "inspect"
    NORMAL = "normal"


Url = Annotated[str | None, typer.Option("--url", help="Address of ingest; default: that of the `siad up` on --data.")]
Data = Annotated[Path, typer.Option("--data", help="Data folder of the `siad up` to use.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Bus = Annotated[
    BusKind,
    typer.Option("--bus", help="Which bus transports the events. auto: Kafka if available, else the embedded bus."),
]
Intent = Annotated[
    Purpose, typer.Option("--intent", help="inspect: give a verdict. normal: known good, to fit the teacher on.")
]


def ingest_address(url: str | None, data: Path) -> str:
    """Address of ingest.

    Raises:
        FileNotFoundError: no address was given, and `siad up` does not run on ``data``.
    """
    return url or read_state(data)["ingest"]
