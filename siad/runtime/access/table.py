"""Access table of a stage: routes, and the permission that each needs.

A route without an entry is refused to all but administrators, and ``tests/architecture/test_access.py`` names it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from siad.contracts.access import EVERY_LINE, Permission, Principal, roles_with, scopes_with

LINE: Final = "{line}"


class Extent(Enum):
    """On which lines the permission is needed."""

    ADDRESS = "address"  # the line in the address; where there is none, every line
    SOME = "some"  # one line at least: the route leaves out all others


@dataclass(frozen=True, slots=True)
class RouteNeed:
    """What one route needs."""

    permission: Permission | None  # None: no credentials
    extent: Extent = Extent.ADDRESS


OPEN: Final = RouteNeed(None)
VIEW: Final = RouteNeed(Permission.VIEW)
VIEW_SOME: Final = RouteNeed(Permission.VIEW, Extent.SOME)
ANSWER: Final = RouteNeed(Permission.ANSWER)
CONFIGURE: Final = RouteNeed(Permission.CONFIGURE)
INGEST: Final = RouteNeed(Permission.INGEST)
INSPECT: Final = RouteNeed(Permission.INSPECT)
ADMINISTER: Final = RouteNeed(Permission.ADMINISTER)
_RECORDED: Final = frozenset({Permission.CONFIGURE, Permission.ADMINISTER})
EVERY_STAGE: Final[Mapping[str, RouteNeed]] = {
    "GET /healthz": OPEN,
    "GET /readyz": OPEN,
    "GET /metrics": OPEN,
    "GET /openapi.json": OPEN,
    "GET /docs": OPEN,
}


@dataclass(frozen=True, slots=True)
class _Entry:
    method: str
    parts: tuple[str, ...]
    need: RouteNeed

    def matches(self, method: str, parts: tuple[str, ...]) -> bool:
        return (
            self.method == method
            and len(self.parts) == len(parts)
            and all(
                known == part or (known.startswith("{") and part) for known, part in zip(self.parts, parts, strict=True)
            )
        )

    def line(self, parts: tuple[str, ...]) -> str:
        return next((part for known, part in zip(self.parts, parts, strict=True) if known == LINE), EVERY_LINE)


class AccessTable:
    """Needs of the routes of one stage."""

    def __init__(self, routes: Mapping[str, RouteNeed]) -> None:
        """Add those of every stage.

        Args:
            routes: by method and template, such as ``GET /v1/lines/{line}``.
        """
        self._entries = []
        for name, need in {**EVERY_STAGE, **routes}.items():
            method, _, template = name.partition(" ")
            self._entries.append(_Entry(method, tuple(template.split("/")), need))

    def is_open(self, method: str, path: str) -> bool:
        """Whether an address needs no credentials."""
        found = list(self._find(method, path))
        return bool(found) and all(entry.need.permission is None for entry in found)

    def knows(self, method: str, path: str) -> bool:
        """Whether a route has this address."""
        return any(self._find(method, path))

    def is_recorded(self, method: str, path: str) -> bool:
        """Whether a request goes into the audit log.

        One that changes lines, weights, data or access does.
        """
        return any(entry.need.permission in _RECORDED for entry in self._find(method, path))

    def refusal(self, principal: Principal, method: str, path: str) -> str:
        """Say why a request is refused; empty where it is allowed.

        Where several entries fit an address, it needs what each of them needs.
        """
        found = list(self._find(method, path))
        if not found:
            is_allowed = principal.allows(Permission.ADMINISTER)
            return "" if is_allowed else f"{method} {path} is no address here, or one for administrators"
        parts = tuple(path.split("/"))
        for entry in found:
            if reason := _refusal(principal, entry.need, entry.line(parts)):
                return reason
        return ""

    def _find(self, method: str, path: str) -> Iterator[_Entry]:
        parts, asked = tuple(path.split("/")), "GET" if method == "HEAD" else method
        return (entry for entry in self._entries if entry.matches(asked, parts))


def _refusal(principal: Principal, need: RouteNeed, line: str) -> str:
    if need.permission is None:
        return ""
    if need.extent is Extent.SOME:
        is_allowed = principal.allows_somewhere(need.permission)
    else:
        is_allowed = principal.allows(need.permission, line)
    if is_allowed:
        return ""
    where = "on every line" if line == EVERY_LINE else f"on line {line!r}"
    roles, scopes = " or ".join(roles_with(need.permission)), " or ".join(scopes_with(need.permission))
    return (
        f"{principal.name} may not {need.permission.value} {where}: that takes the role {roles}, or a key with {scopes}"
    )
