"""Third-party servers as child processes that log to a file.

They end with their parent.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from siad.runtime.parent_death import end_with_parent

STOP_S = 15.0  # for an orderly stop; after that the process is killed
TAIL_LINES = 15


@dataclass(slots=True)
class ServerProcess:
    """One third-party server, such as Kafka.

    Start it from a thread that lives as long as the server should: the kernel ends a child with the thread that
    started it.
    """

    name: str
    log: Path
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def pid(self) -> int | None:
        """Process id; None while the server does not run."""
        return self._process.pid if self._process is not None and self.alive else None

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def start(self, args: Sequence[str], *, env: Mapping[str, str] | None = None, pass_fds: Sequence[int] = ()) -> None:
        """Start the process with a new log file.

        The log of the previous start is kept with the suffix ``.1``.

        Args:
            args: the program and its arguments.
            env: variables added to this process's environment.
            pass_fds: file descriptors that the child inherits, such as a lock.

        Raises:
            FileNotFoundError: the program does not exist.
        """
        assert not self.alive, f"{self.name} runs already"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists():
            self.log.replace(self.log.with_name(f"{self.log.name}.1"))
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                args,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=pass_fds,
                start_new_session=True,  # Ctrl-C reaches only this process, which stops its children in order
                preexec_fn=partial(end_with_parent, signal.SIGTERM),  # noqa: PLW1509 - one system call, takes no lock
            )

    def wait_until(self, is_ready: Callable[[], bool], *, timeout_s: float) -> None:
        """Wait until the server is ready.

        Raises:
            RuntimeError: the process ended, or was not ready in time and was stopped. The message holds the end of
                its log.
        """
        end_s = time.monotonic() + timeout_s
        while not is_ready():
            if not self.alive:
                code = self._process.returncode if self._process else None
                msg = (
                    f"{self.name} exited with status {code} during its start. End of its log {self.log}:\n{self.tail()}"
                )
                raise RuntimeError(msg)
            if time.monotonic() > end_s:
                self.stop()
                msg = (
                    f"{self.name} was not ready within {timeout_s:g} s and was stopped. End of its log {self.log}:\n"
                    f"{self.tail()}"
                )
                raise RuntimeError(msg)
            time.sleep(0.1)

    def stop(self, *, within_s: float = STOP_S) -> None:
        """Send SIGTERM, then SIGKILL after ``within_s``.

        Does nothing if the server does not run.
        """
        if self._process is None or not self.alive:
            return
        self._process.terminate()
        try:
            self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Send SIGKILL to the server and every process of its session."""
        if self._process is None or not self.alive:
            return
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def tail(self) -> str:
        """The last lines of the log."""
        if not self.log.exists():
            return "(empty)"
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-TAIL_LINES:])


def find_program(name: str, *, remedy: str) -> str:
    """Path of a program: beside this Python, else on PATH.

    Args:
        name: of the program.
        remedy: what was not started and what to install, for the error.

    Raises:
        RuntimeError: it is not installed.
    """
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        msg = f"`{name}` is neither beside this Python nor on PATH; {remedy}"
        raise RuntimeError(msg)
    return found
