"""API keys: credentials of programs, and their form in requests.

A key is ``siad_<id>_<secret>``. Lists and logs show the id; of the secret only the digest is stored, and since it has
256 random bits, a fast digest is enough.
"""

import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Final

from siad.contracts.access import EVERY_LINE, PERMISSIONS_OF_SCOPE, Principal, PrincipalKind, Scope
from siad.contracts.json_codec import JsonRecord, JsonStyle

KEY_ID_DIGITS: Final = 12
SECRET_BYTES: Final = 32
NAME_MAX: Final = 64  # characters
_KEY: Final = re.compile(rf"siad_([0-9a-f]{{{KEY_ID_DIGITS}}})_([A-Za-z0-9_-]{{20,100}})")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey(JsonRecord):
    """Credentials of a program; moved by conditional put when revoked."""

    JSON_STYLE: ClassVar[JsonStyle] = JsonStyle.INDENTED

    key_id: str
    name: str  # what it is for
    secret_sha256: str
    scopes: tuple[Scope, ...]
    lines: tuple[str, ...]  # "*": every line
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None  # None: never
    revoked_at: datetime | None = None  # None: not revoked

    def __post_init__(self) -> None:
        """Refuse a key that gives nothing, or has no name."""
        if not self.scopes or not self.lines:
            msg = f"key {self.name!r} has no scope or no line; nothing was made"
            raise ValueError(msg)
        if not 0 < len(self.name) <= NAME_MAX or not self.name.isprintable():
            msg = f"{self.name!r} can't be the name of a key; use 1 to {NAME_MAX} printable characters"
            raise ValueError(msg)

    @property
    def principal(self) -> Principal:
        """The program, with the permissions of the scopes."""
        held = frozenset(one for scope in self.scopes for one in PERMISSIONS_OF_SCOPE[scope])
        permissions = dict.fromkeys(self.lines, held)
        return Principal(name=f"key {self.key_id}", kind=PrincipalKind.KEY, permissions=permissions)

    def end(self, now: datetime) -> str:
        """Say how it ended; empty while it is valid."""
        if self.revoked_at is not None:
            return f"was revoked at {self.revoked_at:%Y-%m-%d %H:%M} UTC"
        if self.expires_at is not None and self.expires_at <= now:
            return f"expired at {self.expires_at:%Y-%m-%d %H:%M} UTC"
        return ""


def secret_digest(secret: str) -> str:
    """SHA-256 of a secret, which is stored in its place."""
    return hashlib.sha256(secret.encode()).hexdigest()


def format_key(key_id: str, secret: str) -> str:
    """Join the parts of a key, as programs send it."""
    return f"siad_{key_id}_{secret}"


def parse_key(text: str) -> tuple[str, str] | None:
    """Return id and secret of a key; None for another text."""
    found = _KEY.fullmatch(text)
    return None if found is None else (found[1], found[2])


def every_line(lines: Collection[str]) -> tuple[str, ...]:
    """Return the lines of a key, in order; none is every line."""
    return tuple(sorted(set(lines))) or (EVERY_LINE,)
