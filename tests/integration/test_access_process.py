"""Credentials required: ingest and console as processes, keys and accounts made by the command line."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest

from siad.apps.client import IngestClient, ProblemError
from tests.e2e.harness import Plant, wait_for
from tests.fixtures.kafka import BusFile

pytestmark = pytest.mark.slow

PASSWORD = "four random garden words"  # noqa: S105
REVOKED_S = 10.0  # two seconds by the settings, on a busy machine


@pytest.fixture
async def plant(bus_file: BusFile, store_env: Mapping[str, str], tmp_path: Path) -> AsyncIterator[Plant]:
    env = {"SIAD_BUS_BOOTSTRAP": bus_file.bootstrap, "SIAD_AUTH": "required", **store_env}
    plant = Plant(tmp_path, env)
    plant.add("ingest")
    plant.add("console")
    async with plant.running():
        yield plant


def siad(plant: Plant, *args: str, typed: str = "") -> str:
    """Run a command as an operator does in a pod."""
    done = subprocess.run(
        [sys.executable, "-m", "siad.apps.cli", *args], env={**os.environ, **plant.env}, input=typed, text=True,
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def image() -> bytes:
    return bytes(cv2.imencode(".png", np.random.default_rng(1).integers(0, 256, (64, 64), np.uint8))[1])


async def test_a_key_opens_ingest_until_it_is_revoked(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    ingest = plant["ingest"].url
    monkeypatch.delenv("SIAD_API_KEY", raising=False)
    async with httpx.AsyncClient(base_url=ingest, timeout=30) as stranger:
        assert (await stranger.get("/readyz")).status_code == 200
        refused = await stranger.post("/v1/lines/press-1/images", content=os.urandom(20 * 2**20))
        assert (refused.status_code, refused.json()["type"]) == (401, "urn:siad:problem:signed-out")
    admin = json.loads(siad(plant, "key", "create", "setup", "--scope", "admin", "--json"))["key"]
    monkeypatch.setenv("SIAD_API_KEY", admin)
    async with IngestClient(ingest) as client:
        await client.put_line("press-1", {"product": "cap"})
        await client.put_line("press-2", {"product": "cap"})
    camera = siad(plant, "key", "create", "camera", "--scope", "ingest", "--line", "press-1").strip()
    monkeypatch.setenv("SIAD_API_KEY", camera)
    async with IngestClient(ingest) as client:
        assert (await client.send_image(image(), line="press-1"))["capture_id"]
        with pytest.raises(ProblemError, match="may not ingest on line 'press-2'"):
            await client.send_image(image(), line="press-2")
        with pytest.raises(ProblemError, match="may not configure"):
            await client.put_line("press-1", {"product": "other"})
        siad(plant, "key", "revoke", camera.split("_")[1])

        async def is_refused() -> bool:
            try:
                await client.send_image(image(), line="press-1")
            except ProblemError as error:
                return error.code == "ended-key"
            return False

        await wait_for(is_refused, REVOKED_S, "the key to be refused")
    for stage in plant.stages.values():
        log = stage.log.read_text()
        assert all(key.split("_", 2)[2] not in log for key in (admin, camera))


async def test_the_console_takes_passwords_and_keys_and_no_links_from_this_machine(plant: Plant) -> None:
    console = plant["console"].url
    siad(plant, "account", "add", "pat", "--role", "viewer", "--password-file", "-", typed=f"{PASSWORD}\n")
    read = siad(plant, "key", "create", "mes", "--scope", "read").strip()
    async with httpx.AsyncClient(base_url=console, timeout=30) as client:
        assert (await client.post("/v1/sign-in-links")).status_code == 401  # a proxy on this machine is on loopback too
        assert (await client.get("/v1/lines")).status_code == 401
        keyed = {"Authorization": f"Bearer {read}"}
        assert (await client.get("/v1/lines", headers=keyed)).status_code == 200
        assert (await client.post("/v1/sign-in-links", headers=keyed)).status_code == 403
        signed_in = await client.post("/v1/session", json={"name": "pat", "password": PASSWORD})
        assert (signed_in.status_code, signed_in.json()["roles"]) == (201, {"*": "viewer"})
        assert (await client.get("/v1/lines")).status_code == 200
        siad(plant, "account", "disable", "pat")

        async def is_out() -> bool:
            return (await client.get("/v1/lines")).status_code == 401

        await wait_for(is_out, REVOKED_S, "the session to end")
