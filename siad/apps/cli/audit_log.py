"""`siad audit-log`: sign-ins, changes of access and lines, and what was refused."""

from datetime import UTC, datetime
from itertools import islice
from typing import Annotated

import typer
from rich.console import Console

from siad.apps.cli import options
from siad.apps.cli.failures import reported_failures
from siad.apps.cli.tables import TableContent, print_table
from siad.apps.local.connection import connect
from siad.apps.local.machine import DATA
from siad.contracts.audit_log import AuditAction, AuditEntry
from siad.runtime.access.audit_log import read_days

console, errors = Console(), Console(stderr=True)

DAYS_MAX = 3650


def audit_log(
    days: Annotated[int, typer.Option("--days", min=1, max=DAYS_MAX, help="Of so many UTC days, today included.")] = 7,
    actor: Annotated[str, typer.Option("--actor", help="Only of this person, key (key ID) or user.")] = "",
    action: Annotated[
        list[AuditAction] | None, typer.Option("--action", help="Only what happened so; repeat it.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Print at most so many, the newest.")] = 200,
    data: options.Data = DATA,
    as_json: options.Json = False,
) -> None:
    """List what was done with rights, and what was refused, newest first.

    Sign-ins, accounts, roles and keys; requests that change lines, weights or data; erasures, rollbacks and quarantine
    by commands. Where no credentials are required, stages other than the console enter nothing.
    """
    with reported_failures():
        found = read_days(connect(data).blobs, datetime.now(UTC), days)
        wanted = (one for one in found if actor in ("", one.actor) and (not action or one.action in action))
        entries = list(islice(wanted, limit + 1))
    shown = entries[:limit]
    if as_json:
        for one in shown:
            print(one.to_json().decode())
    else:
        rows = [
            [f"{one.at:%Y-%m-%d %H:%M:%S}", one.actor, one.action.value, one.subject, _where(one), one.detail]
            for one in shown
        ]
        columns = ["UTC", "actor", "action", "subject", "where", "detail"]
        print_table(console, TableContent(columns=columns, rows=rows, is_last_text=True))
    if len(entries) > limit:
        errors.print(f"the newest {limit} are shown; --limit shows more", highlight=False)


def _where(entry: AuditEntry) -> str:
    return " from ".join(part for part in (entry.stage or "command", entry.address) if part)
