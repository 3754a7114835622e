"""`siad rollback`: put earlier weights of a line in service again."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console

from siad.apps.cli import options
from siad.apps.cli.failures import reported_failures
from siad.apps.local.connection import connect
from siad.apps.local.machine import DATA
from siad.apps.local.sign_in import user
from siad.audit.captures import parse_prefix
from siad.audit.rollback import announce, find_place, read_rollback, roll_back
from siad.contracts.audit_log import AuditAction
from siad.contracts.errors import TransientError
from siad.contracts.events import SegmenterStatus
from siad.contracts.ids import require_slug
from siad.runtime.access.audit_log import record
from siad.runtime.store.quarantine import Quarantine

console, errors = Console(), Console(stderr=True)

Product = Annotated[
    str | None, typer.Option(help="Of which product; left out: the only one, or what the line makes now.")
]


def rollback(
    line: Annotated[str, typer.Argument(metavar="LINE", help="Name of the line.")],
    product: Product = None,
    to: Annotated[
        str | None,
        typer.Option(metavar="WEIGHTS", help="First digits of the weights to go back to; left out: the previous ones."),
    ] = None,
    data: options.Data = DATA,
    as_json: options.Json = False,
) -> None:
    """Put earlier weights of a line in service again, at once.

    From a segmenter it goes back to the one before, or else to the teacher; from a teacher to the one before. The
    weights that are left are never released again by training or fitting, only by a rollback that names them. Reads
    broker and store of the `siad up` on --data, or those that SIAD_BUS_* and SIAD_STORE_* name.
    """
    with reported_failures():
        require_slug("LINE", line)
        prefix = "" if to is None else parse_prefix(to)
        plant = connect(data)
        place = find_place(plant.blobs, line, product)
        barred = Quarantine(plant.blobs).read(line).weights
        found = read_rollback(plant.blobs, place, to=prefix, barred=barred)
        now = datetime.now(UTC)
        pointer = roll_back(plant.blobs, found, now=now)
        detail = f"from {found.leaves.weights[:12]} to {found.judges[:12]}"
        record(plant.blobs, AuditAction.ROLLED_BACK, user(), str(place), now=now, detail=detail)
        try:
            asyncio.run(announce(plant.bus, [pointer]))
        except TransientError as error:
            errors.print(
                f"the move is stored, but not announced yet: {error}. The stage that owns the weights announces it "
                "once the broker responds",
                soft_wrap=True,
            )
    kind = "teacher" if pointer.status is SegmenterStatus.WITHDRAWN else pointer.kind.value
    if as_json:
        row = {
            "line": place.line, "product": place.product, "kind": kind, "left": found.leaves.weights,
            "weights": found.judges, "revision": pointer.revision,
        }  # fmt: skip
        print(json.dumps(row, indent=2))
    else:
        console.print(
            f"{place}: {kind} {found.judges[:12]} judges from now on; {pointer.kind.value} "
            f"{found.leaves.weights[:12]} was left, and only a rollback that names it puts it in service again",
            highlight=False,
            soft_wrap=True,
        )
