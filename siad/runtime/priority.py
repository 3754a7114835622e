"""CPU priority of work that may wait for verdicts.

Linux shares a CPU among sessions first, and only within a session by nice values (autogroups, sched(7)). A process of
another session gives way only if its session does. Where the kernel has no autogroups, and between containers, whose
shares of CPU decide, the nice value or nothing holds.
"""

import os
import threading
from contextlib import suppress
from pathlib import Path


def give_way(nice: int) -> None:
    """Raise the nice value of all threads of this process.

    A higher one stays.

    Args:
        nice: 0 to 19; the higher, the more this process gives way.
    """
    for task in Path("/proc/self/task").iterdir() if Path("/proc/self/task").exists() else ():
        with suppress(OSError):  # a thread that ended meanwhile
            thread = int(task.name)
            os.setpriority(os.PRIO_PROCESS, thread, max(nice, os.getpriority(os.PRIO_PROCESS, thread)))


def make_thread_give_way(nice: int) -> None:
    """Raise the nice value of the calling thread alone."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), nice)


def make_session_give_way(pid: int, nice: int) -> None:
    """Set the nice value of the session of a process.

    Nothing happens where the kernel has no autogroups.
    """
    with suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text(f"{nice}\n")
