"""Frozen training sets: whom they name is written down, and what is forgotten is dropped when they are read."""

import json
from datetime import UTC, datetime

import pytest

from services.trainer.adapters.parquet import write_rows
from services.trainer.adapters.training_sets import StoredTrainingSets
from services.trainer.domain.training_set import MemberRole, MemberUse, TrainingMember, TrainingSet
from services.trainer.job.store import read_training_set
from siad.contracts.deletion import CaptureDeletion
from siad.contracts.keys import deletion_key, training_set_key, training_set_members_key
from siad.contracts.place import Place
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.memory import MemoryBlobs

NOON = datetime(2026, 1, 1, tzinfo=UTC)
PLACE = Place("l", "p")


def member(number: int) -> TrainingMember:
    return TrainingMember(
        capture_id=f"{number:032x}", image_id=f"{number:064x}", image_uri=f"s3://siad/images/l/{number}.png",
        mask_uri="", mask_sha256="", role=MemberRole.NORMAL, use=MemberUse.TRAIN, weight=1.0,
    )  # fmt: skip


SET = TrainingSet(members=tuple(member(number) for number in range(4)))


def named(blobs: MemoryBlobs) -> list[str]:
    raw = json.loads(blobs.get(training_set_members_key("l", "p", SET.digest)).data)
    assert raw["images"] == [one.image_uri for one in SET.members]
    return list(raw["captures"])


async def test_whom_a_set_names_is_written_down_beside_it() -> None:
    blobs = MemoryBlobs()
    await StoredTrainingSets(AsyncBlobs(blobs)).put(PLACE, SET)
    assert named(blobs) == [one.capture_id for one in SET.members]
    assert read_training_set(blobs, "l", "p", SET.digest) == SET


async def test_a_set_of_before_is_made_up_for() -> None:
    blobs = MemoryBlobs()
    blobs.put(training_set_key("l", "p", SET.digest), write_rows(TrainingMember, SET.members))
    for _ in range(2):
        await StoredTrainingSets(AsyncBlobs(blobs)).add_member_lists(PLACE)
    assert named(blobs) == [one.capture_id for one in SET.members]


@pytest.mark.parametrize("gone", [0, 3])
async def test_a_deletion_record_wins_over_a_frozen_set(gone: int) -> None:
    blobs = MemoryBlobs()
    await StoredTrainingSets(AsyncBlobs(blobs)).put(PLACE, SET)
    one = SET.members[gone]
    record = CaptureDeletion(
        line="l", product="p", capture_id=one.capture_id, image_id=one.image_id, image_uri=one.image_uri,
        received_at=NOON, forgotten_at=NOON,
    )  # fmt: skip
    blobs.put(deletion_key("l", one.capture_id), record.to_json())
    left = read_training_set(blobs, "l", "p", SET.digest)
    assert left.members == tuple(other for other in SET.members if other != one)
