"""Jobs as processes: ended in time, ended with us, never two at once."""

import asyncio
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from services.trainer.adapters.job_process import LocalJobs
from siad.contracts.errors import TransientError


def script(text: str) -> tuple[str, ...]:
    return (sys.executable, "-S", "-c", f"import sys, time, os, signal\n{text}")


async def test_a_job_is_told_its_run_and_its_exit_status_comes_back() -> None:
    jobs = LocalJobs(limit_s=30, command=script("sys.exit(3 if sys.argv[1:] == ['--run', 'l.p.000001'] else 4)"))
    assert (await jobs.run("l.p.000001")).exit_status == 3


async def test_a_job_that_cannot_be_started_is_transient() -> None:
    with pytest.raises(TransientError, match=r"the job of run l\.p\.000001 could not be started"):
        await LocalJobs(limit_s=30, command=("/nowhere/python",)).run("l.p.000001")


async def test_a_job_that_hangs_is_ended() -> None:
    jobs = LocalJobs(limit_s=0.5, command=script("time.sleep(600)"))
    assert (await jobs.run("r")).exit_status == -signal.SIGTERM


async def test_a_cancelled_job_is_gone_with_all_it_started(tmp_path: Path) -> None:
    started = tmp_path / "pid"
    child = f"pid = os.fork()\nopen({str(started)!r}, 'w').write(str(pid)) if pid else None\ntime.sleep(600)"
    task = asyncio.create_task(LocalJobs(limit_s=60, command=script(child)).run("r"))
    while not (started.exists() and started.read_text()):
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    wait_gone(int(started.read_text()))


async def test_one_job_at_a_time() -> None:
    jobs = LocalJobs(limit_s=30, command=script("time.sleep(0.1)"))
    diary: list[str] = []

    async def work(name: str) -> None:
        async with jobs.turn():
            diary.append(f"{name} begins")
            await jobs.run(name)
            diary.append(f"{name} ends")

    await asyncio.gather(work("a"), work("b"))
    assert diary == ["a begins", "a ends", "b begins", "b ends"]


def test_a_job_ends_when_its_trainer_is_killed(tmp_path: Path) -> None:
    started = tmp_path / "pid"
    job = script(f"open({str(started)!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)")
    trainer = (
        "import asyncio\nfrom services.trainer.adapters.job_process import LocalJobs\n"
        f"asyncio.run(LocalJobs(limit_s=60, command={job!r}).run('r'))"
    )
    parent = subprocess.Popen([sys.executable, "-c", trainer], cwd=Path(__file__).parents[2])
    deadline = time.monotonic() + 20
    while not (started.exists() and started.read_text()):
        assert time.monotonic() < deadline, "the job never began"
        time.sleep(0.02)
    parent.kill()
    parent.wait()
    wait_gone(int(started.read_text()))


def wait_gone(pid: int) -> None:
    """Return once a process has ended (an unreaped zombie has)."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return
        except (ProcessLookupError, FileNotFoundError):
            return
        time.sleep(0.02)
    pytest.fail(f"process {pid} is still there")
