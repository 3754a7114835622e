"""How a process finds a Ray head on loopback; Ray itself is not imported here."""

import os
from typing import Final

from siad.runtime.settings import is_loopback

# Otherwise Ray replaces a loopback address by this machine's outer one, where the head does not listen.
LOOPBACK_ENVIRONMENT: Final = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}


def reach_loopback(address: str) -> None:
    """Let this process reach a Ray head on loopback; call it before Ray is imported.

    Args:
        address: ``host:port`` of the head; any other host than loopback changes nothing.
    """
    if is_loopback(address.rpartition(":")[0]):
        for name, value in LOOPBACK_ENVIRONMENT.items():
            os.environ.setdefault(name, value)
