"""Sign-in links of the console's page."""

import getpass
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import httpx

from siad.apps.credentials import credentials

WAIT_S: Final = 10.0
NOT_BUILT: Final = "the console's page is not built here: make web builds it, and nothing needs a restart"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInLink:
    """A link that opens the page once."""

    url: str
    expires_at: datetime
    is_page_built: bool


def make_link(console: str, person: str = "") -> SignInLink:
    """Ask the console for a link.

    Args:
        console: its address, on this machine.
        person: author of the corrections; empty: the user of this process.

    Raises:
        RuntimeError: the console refused; has its reason.
        httpx.HTTPError: it did not respond.
    """
    with httpx.Client(base_url=console, timeout=WAIT_S, headers=credentials()) as client:
        response = client.post("/v1/sign-in-links", params={"person": person or user()})
    if response.status_code != httpx.codes.CREATED:
        msg = f"no sign-in link: {response.json().get('detail', response.status_code)}"
        raise RuntimeError(msg)
    body = response.json()
    return SignInLink(
        url=console.rstrip("/") + body["path"],
        expires_at=datetime.fromisoformat(body["expires_at"]),
        is_page_built=body["is_page_built"],
    )


def user() -> str:
    """Name of the user of this process."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container without a user database
        return "operator"
