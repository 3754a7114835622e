"""A real Prometheus beside the machine, with the rules of the chart."""

import asyncio
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx
import yaml

from siad.apps.local.ports import free_ports

STOP_S: Final = 20.0


@contextmanager
def prometheus(folder: Path, targets: Sequence[str], rules: Sequence[Path]) -> Iterator[str]:
    """Run a Prometheus that scrapes the targets each two seconds.

    Yields:
        Its address.
    """
    (port,) = free_ports(1)
    config = {
        "global": {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "1s"},
        "rule_files": [str(path) for path in rules],
        "scrape_configs": [{"job_name": "siad", "static_configs": [{"targets": list(targets)}]}],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    options = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb"]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            ["prometheus", *options, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log
        )
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=STOP_S)


class Alerts:
    """Alerts of one Prometheus."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def firing(self, line: str = "") -> dict[str, str]:
        """Summary of each alert that fires, by its name; the first of several.

        Args:
            line: only alerts of this line; empty: all.
        """
        try:
            async with httpx.AsyncClient(base_url=self._url, timeout=10) as http:
                found = (await http.get("/api/v1/alerts")).json()["data"]["alerts"]
        except (httpx.TransportError, ValueError):
            return {}  # it starts, or the machine is busy
        return {
            one["labels"]["alertname"]: one["annotations"]["summary"]
            for one in reversed(found)
            if one["state"] == "firing" and line in ("", one["labels"].get("line"))
        }

    async def until_firing(self, name: str, within_s: float, *, line: str = "") -> str:
        """Wait for an alert; returns its summary."""
        end_s = time.monotonic() + within_s
        while name not in (now := await self.firing(line)):
            assert time.monotonic() < end_s, f"{name} did not fire within {within_s:g} s; firing: {sorted(now)}"
            await asyncio.sleep(0.5)
        return now[name]

    async def until_clear(self, name: str, within_s: float, *, line: str = "") -> None:
        """Wait until an alert no longer fires."""
        end_s = time.monotonic() + within_s
        while name in await self.firing(line):
            assert time.monotonic() < end_s, f"{name} still fires after {within_s:g} s"
            await asyncio.sleep(0.5)
