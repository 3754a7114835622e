"""Which requests of browsers are let in. Pure.

Any page that a browser shows may send requests to the console, with the cookie of the session in some cases. So a
request of a browser must come from the console's own page, and under a name of this machine where the console listens
on loopback. What the person behind it may do is the matter of the access table.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

LINKS_PATH: Final = "/v1/sign-in-links"  # where processes of this machine get links
COOKIE: Final = "siad_console"
SAFE_METHODS: Final = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowserRequest:
    """What a decision on one request takes."""

    method: str
    path: str
    headers: Mapping[str, str]  # lower-case names
    is_local_only: bool  # the console listens on loopback


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRefusal:
    """Why a request is not let in."""

    status: int
    code: str
    detail: str


def is_browser(headers: Mapping[str, str]) -> bool:
    """Whether a browser sent the request.

    Pages can't hide these headers: a browser sets them itself.
    """
    return any(name in headers for name in ("sec-fetch-site", "origin")) or headers.get("user-agent", "").startswith(
        "Mozilla/"
    )


def check_access(request: BrowserRequest) -> AccessRefusal | None:
    """Return why a request is refused; None where it is let in."""
    if not is_browser(request.headers):
        return None
    host = request.headers.get("host", "")
    if request.is_local_only and not _is_this_machine(host):
        detail = (
            f"the console answers under names of this machine only, not as {host!r}; nothing was done. Open the "
            "address that siad up printed"
        )
        return AccessRefusal(status=403, code="host-refused", detail=detail)
    origin = request.headers.get("origin", "")
    if request.method not in SAFE_METHODS and urlsplit(origin).netloc != host:
        detail = f"the request comes from another page ({origin or 'no origin'}); nothing was done"
        return AccessRefusal(status=403, code="foreign-origin", detail=detail)
    if request.path == LINKS_PATH:
        detail = "sign-in links are given on the console's machine only; nothing was done. Run siad sign-in there"
        return AccessRefusal(status=403, code="links-refused", detail=detail)
    return None


def _is_this_machine(host: str) -> bool:
    name = urlsplit(f"//{host}").hostname or ""
    return name in ("localhost", "::1") or name.startswith("127.")
