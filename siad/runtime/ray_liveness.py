"""End this process when the Ray that it leans on is gone; nothing of Ray is imported here.

A driver whose head was killed does not learn of it: its next call waits for an answer, and goes on waiting when another
head has taken the address, for that one knows nothing of it. What does tell is the socket of its own raylet, which lies
in the folder of Ray's session and is never used twice.
"""

import os
import socket
import sys
import threading
from collections.abc import Callable
from typing import Final

import structlog

log = structlog.get_logger()

LOOK_S: Final = 1.0
MISSES_MAX: Final = 3  # a raylet that is busy may refuse one look
EXIT_STATUS: Final = 1  # whoever watches this process starts it anew, on the Ray that is there then


def end_with_ray(raylet_socket: str, *, on_gone: Callable[[], None] | None = None) -> threading.Thread:
    """Watch a raylet from a thread of its own, and end this process once it is gone.

    Args:
        raylet_socket: path of its socket: ``ray.init(...).address_info["raylet_socket_name"]``.
        on_gone: what to do then, in place of ending the process.

    Returns:
        The thread; it never keeps the process alive.
    """
    watching = threading.Thread(target=_watch, args=(raylet_socket, on_gone or _leave), name="ray-gone", daemon=True)
    watching.start()
    return watching


def listens(path: str) -> bool:
    """Whether somebody accepts connections on a Unix socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(LOOK_S)
        return probe.connect_ex(path) == 0


def _watch(raylet_socket: str, on_gone: Callable[[], None]) -> None:
    pause, misses = threading.Event(), 0
    while misses < MISSES_MAX:
        pause.wait(LOOK_S)
        misses = 0 if listens(raylet_socket) else misses + 1
    log.error("ray_gone", raylet_socket=raylet_socket, looks=misses, looked_every_s=LOOK_S)
    on_gone()


def _leave() -> None:
    """End without asking Ray: its own clean-up would wait for the head that is gone."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(EXIT_STATUS)
