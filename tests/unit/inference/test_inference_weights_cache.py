"""Copies of weights on the local disk: verified, bounded, and never a reason to fail."""

import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from services.inference.adapters.weights_cache import WeightsCache
from services.inference.domain.known_state import may_serve
from siad.contracts.ids import sha256_hex

PARTS = [bytes([number]) * 100 for number in range(5)]
DIGESTS = [sha256_hex(part) for part in PARTS]


def filled(folder: Path, *, bytes_max: int = 1000, count: int = 5) -> WeightsCache:
    """A cache with some parts, read in their order."""
    cache = WeightsCache(folder, bytes_max=bytes_max)
    for number in range(count):
        cache.write(DIGESTS[number], PARTS[number])
        os.utime(folder / DIGESTS[number], (number, number))
    return cache


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_copy_gives_the_bytes_also_to_the_next_process(tmp_path: Path) -> None:
    filled(tmp_path)
    again = WeightsCache(tmp_path, bytes_max=1000)
    assert [again.read(digest) for digest in DIGESTS] == PARTS
    assert again.read(sha256_hex(b"other")) is None


@pytest.mark.parametrize("damage", [b"", PARTS[0][:-1], PARTS[0] + b"x", b"y" * 100])
def test_a_damaged_copy_is_dropped(tmp_path: Path, damage: bytes) -> None:
    cache = filled(tmp_path)
    (tmp_path / DIGESTS[0]).write_bytes(damage)
    assert cache.read(DIGESTS[0]) is None
    assert DIGESTS[0] not in names(tmp_path)


def test_the_least_recently_read_copies_make_room(tmp_path: Path) -> None:
    cache = filled(tmp_path, bytes_max=350, count=3)
    assert cache.read(DIGESTS[0]) == PARTS[0]
    cache.write(DIGESTS[3], PARTS[3])
    assert names(tmp_path) == {DIGESTS[0], DIGESTS[2], DIGESTS[3]}


def test_a_file_over_the_bound_is_not_kept_and_displaces_nothing(tmp_path: Path) -> None:
    cache, large = filled(tmp_path, bytes_max=350, count=3), b"z" * 400
    cache.write(sha256_hex(large), large)
    assert names(tmp_path) == set(DIGESTS[:3])


def test_copies_that_nothing_names_are_deleted_and_unfinished_ones_too(tmp_path: Path) -> None:
    cache = filled(tmp_path)
    (tmp_path / f"{DIGESTS[0]}.17.3.tmp").write_bytes(b"half")
    (tmp_path / "notes.txt").write_text("not ours")
    cache.keep_only(DIGESTS[1:2])
    assert names(tmp_path) == {DIGESTS[1], "notes.txt"}


def test_a_folder_that_can_not_be_used_costs_the_copy_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = WeightsCache(tmp_path / "file" / "weights", bytes_max=1000)
    with capture_logs() as logs:
        cache.write(DIGESTS[0], PARTS[0])
        assert cache.read(DIGESTS[0]) is None
    assert {entry["event"] for entry in logs} == {"cached_weights_unavailable"}


@pytest.mark.parametrize(
    ("failures", "is_known", "serves"),
    [
        ({"bus"}, True, True),
        ({"store", "lines", "weights"}, True, True),
        ({"bus"}, False, False),
        ({"lines"}, True, False),  # an ordinary start
        ({"bus", "handle siad.image.v1/0"}, True, False),  # an operator must act
    ],
)
def test_a_stage_serves_without_broker_and_store_only_in_an_outage(
    failures: set[str], is_known: bool, serves: bool
) -> None:
    assert may_serve(failures, is_known=is_known) is serves
