"""Access: what people and programs may do, and where.

Each route of a stage needs one permission. A person has permissions by a role, a program by the scopes of its API key,
both for single lines or, under ``*``, for every line.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Final

from siad.contracts.corrections import AUTHOR_MAX
from siad.contracts.json_codec import JsonRecord, JsonStyle

EVERY_LINE: Final = "*"
ACCOUNT_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._@+-]*")
ACCOUNT_NAME_RULE: Final = f"1 to {AUTHOR_MAX} of a-z, 0-9 and '._@+-', beginning with a letter or digit"


class Permission(StrEnum):
    """What a route needs."""

    VIEW = "view"  # read captures, masks, settings and figures
    ANSWER = "answer"  # say what a part is
    CONFIGURE = "configure"  # change lines and weights
    INGEST = "ingest"  # send images
    INSPECT = "inspect"  # have an image judged at once
    ADMINISTER = "administer"  # accounts, keys and the audit log


class Role(StrEnum):
    """What a person may do on a line."""

    VIEWER = "viewer"
    ANNOTATOR = "annotator"
    ENGINEER = "engineer"
    ADMIN = "admin"


class Scope(StrEnum):
    """What a program may do by an API key."""

    READ = "read"
    INGEST = "ingest"
    INSPECT = "inspect"
    ADMIN = "admin"


EVERY_PERMISSION: Final = frozenset(Permission)
_ANNOTATOR: Final = frozenset({Permission.VIEW, Permission.ANSWER})
PERMISSIONS_OF_ROLE: Final[Mapping[Role, frozenset[Permission]]] = {
    Role.VIEWER: frozenset({Permission.VIEW}),
    Role.ANNOTATOR: _ANNOTATOR,
    Role.ENGINEER: _ANNOTATOR | {Permission.CONFIGURE, Permission.INGEST, Permission.INSPECT},
    Role.ADMIN: EVERY_PERMISSION,
}
PERMISSIONS_OF_SCOPE: Final[Mapping[Scope, frozenset[Permission]]] = {
    Scope.READ: frozenset({Permission.VIEW}),
    Scope.INGEST: frozenset({Permission.INGEST}),
    Scope.INSPECT: frozenset({Permission.INSPECT}),
    Scope.ADMIN: EVERY_PERMISSION,
}


class PrincipalKind(StrEnum):
    """What sends a request."""

    PERSON = "person"
    KEY = "key"
    MACHINE = "machine"  # a process of this machine, while no credentials are required


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """The sender of a request, and what it may do."""

    name: str
    kind: PrincipalKind
    permissions: Mapping[str, frozenset[Permission]]  # by line; of "*": on every line

    def allows(self, permission: Permission, line: str = EVERY_LINE) -> bool:
        """Whether it may do something on a line, or on every line."""
        return any(permission in self.permissions.get(place, ()) for place in (EVERY_LINE, line))

    def allows_somewhere(self, permission: Permission) -> bool:
        """Whether it may do something on one line at least."""
        return any(permission in held for held in self.permissions.values())

    @property
    def lines(self) -> list[str]:
        """Lines on which it may do anything; "*" for every line."""
        return sorted(self.permissions)


THIS_MACHINE: Final = Principal(
    name="this machine", kind=PrincipalKind.MACHINE, permissions={EVERY_LINE: EVERY_PERMISSION}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account(JsonRecord):
    """A person who may sign in; moved by conditional put."""

    JSON_STYLE: ClassVar[JsonStyle] = JsonStyle.INDENTED

    name: str  # author of the corrections
    password_hash: str  # argon2; empty: this account has no password
    roles: Mapping[str, Role]  # by line; of "*": on every line
    created_at: datetime
    revision: int  # grows by one at every change
    sessions_from_at: datetime  # sessions that were opened earlier have ended
    is_disabled: bool = False
    subject: str = ""  # issuer and subject of the identity provider; empty: none
    claimed_roles: Mapping[str, Role] = field(default_factory=dict)  # by the provider at the last sign-in

    def __post_init__(self) -> None:
        """Refuse a name that can't be an author."""
        require_account_name(self.name)

    @property
    def every_role(self) -> dict[str, Role]:
        """Roles by line: of those given here and claimed, the stronger."""
        return {
            line: stronger(role, self.roles.get(line)) for line, role in {**self.roles, **self.claimed_roles}.items()
        }


def stronger(role: Role, other: Role | None) -> Role:
    """Return the role of two that may do more."""
    order = list(Role)
    return role if other is None or order.index(role) >= order.index(other) else other


def permissions_of(roles: Mapping[str, Role]) -> dict[str, frozenset[Permission]]:
    """Return the permissions of roles, by line."""
    return {line: PERMISSIONS_OF_ROLE[role] for line, role in roles.items()}


def roles_with(permission: Permission) -> list[str]:
    """Name the roles that have a permission, the least first."""
    return [role.value for role in Role if permission in PERMISSIONS_OF_ROLE[role]]


def scopes_with(permission: Permission) -> list[str]:
    """Name the scopes that have a permission, the least first."""
    return [scope.value for scope in Scope if permission in PERMISSIONS_OF_SCOPE[scope]]


def require_account_name(name: str) -> None:
    """Raise ValueError unless it can be the name of an account."""
    if len(name) > AUTHOR_MAX or not ACCOUNT_NAME.fullmatch(name):
        msg = f"{name!r} can't be the name of an account; use {ACCOUNT_NAME_RULE}"
        raise ValueError(msg)


def require_lines(lines: Collection[str], known: Collection[str]) -> None:
    """Raise ValueError for a line that does not exist; "*" is every line."""
    if unknown := sorted(set(lines) - {EVERY_LINE, *known}):
        listed = ", ".join(sorted(known)) or "none yet; register one by siad line put"
        msg = f"line {', '.join(map(repr, unknown))} is unknown; nothing was changed. Lines: {listed}"
        raise ValueError(msg)
