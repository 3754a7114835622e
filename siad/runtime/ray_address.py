"""Address of a Ray head on loopback; does not import Ray."""

import os
from typing import Final

from siad.runtime.settings import is_loopback

LOOPBACK_ENVIRONMENT: Final = {
    # otherwise Ray replaces a loopback address by an external one of this machine, on which the head does not listen
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    # otherwise a head asks for a token where this user ever ran Ray alone (~/.ray/auth_token), and no program sends it
    "RAY_AUTH_MODE": "disabled",
}


def reach_loopback(address: str) -> None:
    """Prepare this process for a Ray head on loopback, before importing Ray.

    Args:
        address: ``host:port`` of the head; no effect for a host beyond loopback.
    """
    if is_loopback(address.rpartition(":")[0]):
        for name, value in LOOPBACK_ENVIRONMENT.items():
            os.environ.setdefault(name, value)
