"""People of an identity provider: their names and roles, by claims. Pure."""

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Self
from urllib.parse import urlsplit

from siad.contracts.access import ACCOUNT_NAME, EVERY_LINE, Role, stronger
from siad.contracts.corrections import AUTHOR_MAX
from siad.contracts.ids import SLUG

_NOT_IN_NAMES: Final = re.compile(r"[^a-z0-9._@+-]+")
_NAMES: Final = ("preferred_username", "email", "sub")  # claims, the best first


class IdentityRefusedError(Exception):
    """Sign-in that the provider, or the check of its token, refused."""


@dataclass(frozen=True, slots=True)
class RoleRule:
    """A value of the claim, and the role that it gives."""

    value: str
    role: Role
    line: str  # "*": every line


@dataclass(frozen=True, slots=True)
class PendingSignIn:
    """What a browser keeps while its person is at the provider."""

    state: str
    nonce: str
    verifier: str  # of PKCE

    def to_text(self) -> str:
        """Write it into a cookie."""
        return base64.urlsafe_b64encode(json.dumps(asdict(self)).encode()).decode()

    @classmethod
    def from_text(cls, text: str) -> Self | None:
        """Read a cookie; None for another text."""
        try:
            values = json.loads(base64.urlsafe_b64decode(text))
            found = cls(**values)
        except (ValueError, TypeError):
            return None
        return found if all(isinstance(one, str) and one for one in asdict(found).values()) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedIdentity:
    """A person, as the provider says."""

    subject: str  # issuer and subject, which never change
    names: tuple[str, ...]  # for the account, the best first
    roles: Mapping[str, Role]  # by line

    def or_else(self, unknown: Role | None) -> Self:
        """Give a person without any role this one, on every line."""
        return self if self.roles or unknown is None else replace(self, roles={EVERY_LINE: unknown})


def parse_role_rules(text: str) -> tuple[RoleRule, ...]:
    """Read rules such as ``siad-admins=admin,press=annotator@press-3``.

    Raises:
        ValueError: one is no rule; says which.
    """
    return tuple(_parse_rule(part.strip()) for part in text.split(",") if part.strip())


def _parse_rule(text: str) -> RoleRule:
    value, _, right = text.rpartition("=")
    role, _, line = right.partition("@")
    if not value or role not in set(Role) or (line and not SLUG.fullmatch(line)) or ("@" in right and not line):
        msg = f"{text!r} is no rule; write VALUE=ROLE or VALUE=ROLE@LINE with a role of {', '.join(Role)}"
        raise ValueError(msg)
    return RoleRule(value, Role(role), line or EVERY_LINE)


def identity_of(claims: Mapping[str, Any], issuer: str, *, claim: str, rules: Sequence[RoleRule]) -> ClaimedIdentity:
    """Read a person from the claims of a checked ID token.

    Args:
        claims: of the token.
        issuer: of the provider.
        claim: holds the groups: a text, or a list of texts.
        rules: roles by its values.
    """
    held = claims.get(claim) if claim else None
    values = {one for one in (held if isinstance(held, list) else [held]) if isinstance(one, str)}
    roles: dict[str, Role] = {}
    for rule in rules:
        if rule.value in values:
            roles[rule.line] = stronger(rule.role, roles.get(rule.line))
    return ClaimedIdentity(subject=f"{issuer} {claims['sub']}", names=_names(claims, issuer), roles=roles)


def _names(claims: Mapping[str, Any], issuer: str) -> tuple[str, ...]:
    """Names for the account: the provider's, then with its host."""
    plain = [name for claim in _NAMES if (name := _as_name(str(claims.get(claim) or "")))]
    host = urlsplit(issuer).hostname or "provider"
    return (*plain[:1], *(name for one in plain[:1] if (name := _as_name(f"{one.partition('@')[0]}@{host}"))))


def _as_name(text: str) -> str:
    name = _NOT_IN_NAMES.sub("-", text.strip().lower()).lstrip("._@+-")[:AUTHOR_MAX]
    return name if ACCOUNT_NAME.fullmatch(name) else ""
