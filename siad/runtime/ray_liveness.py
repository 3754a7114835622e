"""Ends this process when its Ray node stops; does not import Ray.

A driver is not notified when its head is killed: its next call waits for a response, even when a new head listens on
the same address, since the new head does not know the call. The socket of the driver's own raylet shows the end
reliably: it lies in the folder of the Ray session and is never reused.
"""

import os
import socket
import sys
import threading
from collections.abc import Callable
from typing import Final

import structlog

log = structlog.get_logger()

CHECK_EVERY_S: Final = 1.0
MISSES_MAX: Final = 3  # a busy raylet may refuse one connection
EXIT_STATUS: Final = 1  # the supervisor restarts this process, which connects to the Ray that runs then


def end_with_ray(raylet_socket: str, *, on_gone: Callable[[], None] | None = None) -> threading.Thread:
    """Start a thread that ends this process once the raylet has stopped.

    Args:
        raylet_socket: path of its socket, ``ray.init(...).address_info["raylet_socket_name"]``.
        on_gone: called in place of ending the process.

    Returns:
        The thread, a daemon.
    """
    thread = threading.Thread(target=_watch, args=(raylet_socket, on_gone or _exit), name="ray-gone", daemon=True)
    thread.start()
    return thread


def listens(path: str) -> bool:
    """Whether a process accepts connections on a Unix socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(CHECK_EVERY_S)
        return probe.connect_ex(path) == 0


def _watch(raylet_socket: str, on_gone: Callable[[], None]) -> None:
    pause, misses = threading.Event(), 0
    while misses < MISSES_MAX:
        pause.wait(CHECK_EVERY_S)
        misses = 0 if listens(raylet_socket) else misses + 1
    log.error("ray_gone", raylet_socket=raylet_socket, looks=misses, looked_every_s=CHECK_EVERY_S)
    on_gone()


def _exit() -> None:
    """End without Ray's clean-up, which would wait for the stopped head."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(EXIT_STATUS)
