"""Processes that give way to others."""

import subprocess
import sys
from pathlib import Path

import pytest

from siad.runtime.priority import make_session_give_way

THREADS = """
import os, threading, time
from pathlib import Path
from siad.runtime.priority import give_way
stop = threading.Event()
threading.Thread(target=stop.wait).start()
give_way(7)
give_way(3)
threading.Thread(target=stop.wait).start()
print(sorted(os.getpriority(os.PRIO_PROCESS, int(task.name)) for task in Path("/proc/self/task").iterdir()))
stop.set()
"""


def test_every_thread_gives_way_and_none_comes_back() -> None:
    done = subprocess.run([sys.executable, "-c", THREADS], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[7, 7, 7]"


def test_a_session_gives_way() -> None:
    if not Path("/proc/self/autogroup").exists():
        pytest.skip("this kernel has no autogroups")
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True)
    try:
        make_session_give_way(process.pid, 10)
        assert Path(f"/proc/{process.pid}/autogroup").read_text().split()[-1] == "10"
    finally:
        process.kill()
        process.wait()
    make_session_give_way(process.pid, 10)  # a process that ended
