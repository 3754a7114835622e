"""`siad account`: people who may sign in to the console, and their roles."""

import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from siad.apps.cli import options
from siad.apps.cli.failures import reported_failures
from siad.apps.cli.tables import TableContent, print_table
from siad.apps.local.connection import connect
from siad.apps.local.machine import DATA
from siad.apps.local.sign_in import user
from siad.contracts.access import EVERY_LINE, Account, Role, require_account_name, require_lines
from siad.contracts.audit_log import AuditAction
from siad.contracts.keys import line_pointers_prefix, name_of
from siad.runtime.access.accounts import Accounts, new_account, with_disabled, with_password, with_role
from siad.runtime.access.audit_log import record
from siad.runtime.blobs.port import Blobs

console = Console()
account_app = typer.Typer(help="People who may sign in to the console, and their roles.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the account; the author of its corrections.")]
Line = Annotated[
    str, typer.Option("--line", metavar="LINE", help="The role counts on this line only; left out: on every line.")
]
PasswordFile = Annotated[
    Path | None,
    typer.Option(
        "--password-file", metavar="PATH", help="Read the password from a file, '-' is standard input. Default: ask."
    ),
]
ROLES = "viewer: look. annotator: answer. engineer: lines, weights and data too. admin: accounts and keys too."


@account_app.command("add")
def add(
    name: Name,
    role: Annotated[Role, typer.Option("--role", help=ROLES)],
    line: Line = EVERY_LINE,
    password_file: PasswordFile = None,
    data: options.Data = DATA,
) -> None:
    """Add a person, with a password and a role.

    The password has at least 12 characters. It works within seconds, without a restart.
    """
    with reported_failures():
        require_account_name(name)
        blobs = connect(data).blobs
        require_lines([line], known_lines(blobs))
        accounts = Accounts(blobs)
        accounts.require_free(name)  # before a password is typed in vain
        password = read_password(password_file)
        now = datetime.now(UTC)
        accounts.create(new_account(name, password, {line: role}, now=now))
        record(blobs, AuditAction.ACCOUNT_ADDED, user(), name, now=now, detail=f"{role.value} {_where(line)}")
    _say(f"{name} may sign in, as {role.value} {_where(line)}")


@account_app.command("list")
def list_(data: options.Data = DATA, as_json: options.Json = False) -> None:
    """List accounts, and the roles of each."""
    with reported_failures():
        found = Accounts(connect(data).blobs).all()
    if as_json:
        print(json.dumps([_row(one) for one in found], indent=2))
        return
    rows = [[one.name, _roles(one.roles), _state(one), f"{one.created_at:%Y-%m-%d %H:%M}"] for one in found]
    print_table(console, TableContent(columns=["name", "roles", "state", "created"], rows=rows))


@account_app.command("role")
def role(
    name: Name,
    role: Annotated[str, typer.Argument(metavar="ROLE", help=f"{ROLES} none: take the role away.")],
    line: Line = EVERY_LINE,
    data: options.Data = DATA,
) -> None:
    """Give a person another role, on every line or on one.

    On a line both roles count: that of every line, and that of the line.
    """
    with reported_failures():
        chosen = _parse_role(role)
        blobs = connect(data).blobs
        require_lines([line], known_lines(blobs))
        changed = Accounts(blobs).change(name, partial(with_role, role=chosen, line=line))
        detail = f"{role} {_where(line)}"
        record(blobs, AuditAction.ROLE_CHANGED, user(), name, now=datetime.now(UTC), detail=detail)
    _say(f"{name} is {_roles(changed.roles) or 'without any role'}, within seconds")


@account_app.command("password")
def password(name: Name, password_file: PasswordFile = None, data: options.Data = DATA) -> None:
    """Set another password; every session of the person ends."""
    with reported_failures():
        blobs, now = connect(data).blobs, datetime.now(UTC)
        Accounts(blobs).read(name)
        typed = read_password(password_file)
        Accounts(blobs).change(name, partial(with_password, password=typed, now=now))
        record(blobs, AuditAction.PASSWORD_CHANGED, user(), name, now=now)
    _say(f"{name} has another password; every session of {name} ends within seconds")


@account_app.command("disable")
def disable(name: Name, data: options.Data = DATA) -> None:
    """Refuse a person from now on; every session ends.

    The account stays, for its corrections.
    """
    _set_disabled(data, name, is_disabled=True)
    _say(f"{name} is refused within seconds; siad account enable {name} admits again")


@account_app.command("enable")
def enable(name: Name, data: options.Data = DATA) -> None:
    """Admit a disabled person again."""
    _set_disabled(data, name, is_disabled=False)
    _say(f"{name} may sign in again")


def known_lines(blobs: Blobs) -> list[str]:
    """Name every line that was ever registered."""
    return [name_of(info.key) for info in blobs.list(line_pointers_prefix())]


def read_password(path: Path | None) -> str:
    """Read a password: typed twice, or the first line of a file.

    Raises:
        OSError: the file can't be read.
        ValueError: nothing can be typed, since standard input is no terminal.
    """
    if path is None:
        if not _is_terminal():
            msg = (
                "standard input is no terminal, so no password can be typed; nothing was changed. Pipe it in and use "
                "--password-file -, or name its file"
            )
            raise ValueError(msg)
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    return text.partition("\n")[0].removesuffix("\r")


def _is_terminal() -> bool:
    return sys.stdin.isatty()


def _set_disabled(data: Path, name: str, *, is_disabled: bool) -> None:
    with reported_failures():
        blobs, now = connect(data).blobs, datetime.now(UTC)
        Accounts(blobs).change(name, partial(with_disabled, is_disabled=is_disabled, now=now))
        action = AuditAction.ACCOUNT_DISABLED if is_disabled else AuditAction.ACCOUNT_ENABLED
        record(blobs, action, user(), name, now=now)


def _parse_role(text: str) -> Role | None:
    if text == "none":
        return None
    try:
        return Role(text)
    except ValueError as error:
        msg = f"{text!r} is no role; nothing was changed. Roles: {', '.join(Role)}, or none"
        raise ValueError(msg) from error


def _roles(roles: Mapping[str, Role]) -> str:
    return ", ".join(f"{role.value} {_where(line)}" for line, role in sorted(roles.items()))


def _where(line: str) -> str:
    return "on every line" if line == EVERY_LINE else f"on {line}"


def _state(account: Account) -> str:
    return "disabled" if account.is_disabled else "active"


def _row(account: Account) -> dict[str, object]:
    return {
        "name": account.name,
        "roles": {line: role.value for line, role in account.roles.items()},
        "is_disabled": account.is_disabled,
        "created_at": account.created_at.isoformat(),
    }


def _say(text: str) -> None:
    console.print(escape(text), highlight=False, soft_wrap=True)
