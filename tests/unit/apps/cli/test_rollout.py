"""`siad rollout`: what it prints of a trial, and what a person orders."""

import asyncio
import json
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner, Result

from siad.apps.cli.__main__ import app
from siad.runtime.access.audit_log import read_days
from tests.unit.apps.cli.plant import MemoryPlant
from tests.unit.trainer.test_trials import Plant


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> MemoryPlant:
    plant = MemoryPlant()
    monkeypatch.setattr("siad.apps.cli.rollout.connect", lambda _: plant.connection)
    return plant


def siad(*args: str) -> Result:
    return CliRunner().invoke(app, [*args])


async def tried() -> Plant:
    """Open a trial in which the candidate alone rejects three of ten captures."""
    plant = await Plant().begin()
    await plant.settle()
    await plant.judge(7)
    await plant.judge(3, candidate=True)
    return plant


def test_a_trial_is_shown_and_promoted_by_a_person(plant: MemoryPlant) -> None:
    world = asyncio.run(tried())
    plant.blobs = world.world.blobs
    shown = siad("rollout", "l")
    assert shown.exit_code == 0, shown.output
    assert "shadow" in shown.stdout
    assert "3 rejected by the candidate alone, 0 by what serves" in shown.stdout
    [row] = json.loads(siad("rollout", "l", "--json").stdout)
    assert (row["captures"], row["outcome"], row["candidate_only"]) == (10, "", 3)
    ordered = siad("rollout", "l", "--promote", "--reason", "seen enough")
    assert "promote is ordered for trial 1" in ordered.stdout
    [entry] = read_days(plant.blobs, datetime.now(UTC), days=1)
    assert (entry.action.value, entry.subject, entry.detail) == ("trial-promoted", "trial 1 of l/p", "seen enough")
    assert "ReleaseCandidate" in asyncio.run(world.settle())
    assert "promoted" in siad("rollout", "l").stdout


def test_what_cannot_be_ordered_is_said(plant: MemoryPlant) -> None:
    assert "line 'l' is unknown" in siad("rollout", "l").stderr
    world = asyncio.run(Plant().begin("direct"))
    plant.blobs = world.world.blobs
    assert "no trial yet" in siad("rollout", "l").stdout
    assert "has no trial; nothing was changed" in siad("rollout", "l", "--drop").stderr
    assert "exclude each other; nothing was changed" in siad("rollout", "l", "--drop", "--promote").stderr
