"""`siad rollout`: show the trials of candidates, promote or drop one."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from siad.apps.cli import options
from siad.apps.cli.failures import reported_failures
from siad.apps.cli.rollback import Product
from siad.apps.cli.tables import print_pairs
from siad.apps.local.connection import connect
from siad.apps.local.machine import DATA
from siad.apps.local.sign_in import user
from siad.apps.local.trials import TrialRow, order_end, read_trials
from siad.audit.rollback import find_place
from siad.contracts.audit_log import AuditAction
from siad.contracts.ids import require_slug
from siad.contracts.json_codec import to_plain
from siad.contracts.trials import TrialAction
from siad.runtime.access.audit_log import record

console = Console()


def rollout(
    line: Annotated[str, typer.Argument(metavar="LINE", help="Name of the line.")],
    product: Product = None,
    promote: Annotated[bool, typer.Option("--promote", help="Release the candidate without waiting.")] = False,
    drop: Annotated[bool, typer.Option("--drop", help="Drop the candidate; what serves stays.")] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why, for the record and the audit log.")] = "",
    data: options.Data = DATA,
    as_json: options.Json = False,
) -> None:
    """Show where the candidate of a line stands beside what serves.

    A line with the setting rollout shadow or canary tries a segmenter that the gate accepted on its captures first. A
    person can end the trial: --promote releases the candidate, --drop leaves what serves. The trainer acts within
    seconds. While learning is held (siad runs hold), nothing is promoted.
    """
    with reported_failures():
        require_slug("LINE", line)
        if promote and drop:
            msg = "--promote and --drop exclude each other; nothing was changed. Give one of them"
            raise ValueError(msg)
        if promote or drop:
            _order(line, product, data, TrialAction.PROMOTE if promote else TrialAction.DROP, reason)
            return
        rows = asyncio.run(read_trials(connect(data).blobs, line, product))
    if as_json:
        print(json.dumps(to_plain(rows), indent=2))
    elif not rows:
        console.print(
            f"{line}: no trial yet. siad line put {line} --rollout shadow tries the next candidate beside what serves",
            highlight=False,
            soft_wrap=True,
        )
    else:
        _print(rows[-1])


def _order(line: str, product: str | None, data: Path, action: TrialAction, reason: str) -> None:
    blobs = connect(data).blobs
    place = find_place(blobs, line, product)
    number = asyncio.run(order_end(blobs, place, action, by=user(), reason=reason))
    entered = AuditAction.TRIAL_PROMOTED if action is TrialAction.PROMOTE else AuditAction.TRIAL_DROPPED
    record(blobs, entered, user(), f"trial {number} of {place}", now=datetime.now(UTC), detail=reason)
    text = f"{place}: {action.value} is ordered for trial {number}; siad rollout {line} follows it"
    console.print(text, highlight=False)


def _print(row: TrialRow) -> None:
    ended = "-" if row.ended_at is None else f"{row.ended_at:%Y-%m-%d %H:%M:%S} UTC"
    print_pairs(
        console,
        [
            ("trial", str(row.trial)),
            ("phase", row.phase),
            ("outcome", row.outcome or "open"),
            ("reason", row.reason or "-"),
            ("candidate", row.candidate),
            ("beside", f"{row.serving_kind} {row.serving}"),
            ("opened", f"{row.opened_at:%Y-%m-%d %H:%M:%S} UTC"),
            ("ended", ended),
            ("captures", f"{row.captures} judged by both in this phase, {row.decided} decided by the candidate"),
            ("decisions", f"{row.candidate_only} rejected by the candidate alone, {row.serving_only} by what serves"),
            ("masks", f"{row.mask_disagreement:.2f} of what one marks, where both reject, is not marked by the other"),
            ("CPU", f"{row.spent_s:.1f} s for second judgements"),
            ("ordered", row.ordered or "-"),
        ],
    )
