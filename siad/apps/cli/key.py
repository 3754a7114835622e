"""`siad key`: API keys of programs."""

import json
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from siad.apps.cli import options
from siad.apps.cli.account import known_lines
from siad.apps.cli.failures import reported_failures
from siad.apps.cli.tables import TableContent, print_table
from siad.apps.local.connection import connect
from siad.apps.local.machine import DATA
from siad.apps.local.sign_in import user
from siad.contracts.access import EVERY_LINE, Scope, require_lines
from siad.contracts.api_keys import ApiKey
from siad.contracts.audit_log import AuditAction
from siad.runtime.access.api_keys import ApiKeys, KeyRequest
from siad.runtime.access.audit_log import record

console, errors = Console(), Console(stderr=True)
key_app = typer.Typer(help="API keys, by which programs reach the stages.", no_args_is_help=True)

DAYS_MAX = 3650


@key_app.command("create")
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the key is for, such as camera-3.")],
    scope: Annotated[
        list[Scope],
        typer.Option(
            "--scope",
            help="ingest: send images. inspect: have them judged at once. read: read figures and answers. admin: all. "
            "Repeat it for several.",
        ),
    ],
    line: Annotated[
        list[str] | None,
        typer.Option("--line", metavar="LINE", help="For this line only; repeat it. Left out: every line."),
    ] = None,
    days: Annotated[
        int | None, typer.Option("--days", min=1, max=DAYS_MAX, help="Days until it expires. Left out: never.")
    ] = None,
    data: options.Data = DATA,
    as_json: options.Json = False,
) -> None:
    """Make an API key, and print it once.

    It is stored as a digest, so it can't be shown again. It works within seconds. Commands read it from SIAD_API_KEY,
    other programs send it as `Authorization: Bearer siad_...`.
    """
    with reported_failures():
        blobs = connect(data).blobs
        require_lines(line or (), known_lines(blobs))
        now = datetime.now(UTC)
        expires_at = None if days is None else now + timedelta(days=days)
        request = KeyRequest(name=name, scopes=scope, lines=line or (), expires_at=expires_at, created_by=user())
        text, key = ApiKeys(blobs).create(request, now=now)
        detail = f"for {name}: {_scopes(key)}, {_lines(key)}"
        record(blobs, AuditAction.KEY_MADE, user(), f"key {key.key_id}", now=now, detail=detail)
    if as_json:
        print(json.dumps({"key": text, **_row(key)}, indent=2))
        return
    print(text)
    errors.print(
        f"key {key.key_id} for {escape(name)}: {_scopes(key)}, {_lines(key)}, {_state(key, now)}. Keep it now: "
        "it is not shown again",
        highlight=False,
        soft_wrap=True,
    )


@key_app.command("list")
def list_(data: options.Data = DATA, as_json: options.Json = False) -> None:
    """List API keys, without their secrets."""
    with reported_failures():
        found = ApiKeys(connect(data).blobs).all()
    if as_json:
        print(json.dumps([_row(one) for one in found], indent=2))
        return
    now = datetime.now(UTC)
    rows = [[one.key_id, one.name, _scopes(one), _lines(one), _state(one, now), one.created_by] for one in found]
    columns = ["key", "for", "scopes", "lines", "state", "made by"]
    print_table(console, TableContent(columns=columns, rows=rows))


@key_app.command("revoke")
def revoke(
    key: Annotated[str, typer.Argument(metavar="KEY", help="First digits of its id, as siad key list prints it.")],
    data: options.Data = DATA,
) -> None:
    """Refuse an API key from now on.

    It counts within seconds. The key stays in the list.
    """
    with reported_failures():
        blobs, now = connect(data).blobs, datetime.now(UTC)
        revoked, is_new = ApiKeys(blobs).revoke(key, now=now)
        if is_new:
            record(blobs, AuditAction.KEY_REVOKED, user(), f"key {revoked.key_id}", now=now)
    text = "is refused within seconds" if is_new else f"was revoked before, at {revoked.revoked_at:%Y-%m-%d %H:%M} UTC"
    console.print(f"key {revoked.key_id} for {escape(revoked.name)} {text}", highlight=False, soft_wrap=True)


def _scopes(key: ApiKey) -> str:
    return ", ".join(key.scopes)


def _lines(key: ApiKey) -> str:
    return "every line" if EVERY_LINE in key.lines else ", ".join(key.lines)


def _state(key: ApiKey, now: datetime) -> str:
    if end := key.end(now):
        return end
    return "never expires" if key.expires_at is None else f"expires {key.expires_at:%Y-%m-%d %H:%M} UTC"


def _row(key: ApiKey) -> dict[str, object]:
    return {
        "key_id": key.key_id,
        "name": key.name,
        "scopes": list(key.scopes),
        "lines": list(key.lines),
        "created_at": key.created_at.isoformat(),
        "created_by": key.created_by,
        "expires_at": None if key.expires_at is None else key.expires_at.isoformat(),
        "revoked_at": None if key.revoked_at is None else key.revoked_at.isoformat(),
    }
