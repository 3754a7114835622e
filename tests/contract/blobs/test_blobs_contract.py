"""What every blob store adapter promises."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from siad.contracts.errors import ConflictError, CorruptError, DeniedError, MissingError
from siad.contracts.ids import sha256_hex
from siad.runtime.blobs.port import IF_ABSENT, Blobs, PutCondition, get_verified

RACERS = 8


def test_what_was_put_is_read_back(blobs: Blobs) -> None:
    data = bytes(range(256))
    etag = blobs.put("images/l/a.png", data, content_type="image/png")
    blob = blobs.get("images/l/a.png")
    assert (blob.data, blob.etag) == (data, etag)


def test_an_empty_object_is_an_object(blobs: Blobs) -> None:
    blobs.put("empty", b"")
    assert blobs.get("empty").data == b""
    info = blobs.head("empty")
    assert info is not None
    assert info.size_bytes == 0


def test_a_missing_object_is_named(blobs: Blobs) -> None:
    with pytest.raises(MissingError, match="nowhere/at/all"):
        blobs.get("nowhere/at/all")
    assert blobs.head("nowhere/at/all") is None


def test_head_tells_size_tag_and_time(blobs: Blobs) -> None:
    etag = blobs.put("k", b"12345")
    info = blobs.head("k")
    assert info is not None
    assert (info.key, info.size_bytes, info.etag) == ("k", 5, etag)
    assert abs(datetime.now(UTC) - info.modified_at) < timedelta(minutes=2)


def test_a_second_put_replaces_the_first(blobs: Blobs) -> None:
    first = blobs.put("k", b"old")
    second = blobs.put("k", b"new")
    assert blobs.get("k").data == b"new"
    assert first != second


def test_addresses_lead_back_to_their_keys(blobs: Blobs) -> None:
    uri = blobs.uri("masks/l/c/w.png")
    assert uri.startswith("s3://")
    assert blobs.key_of(uri) == "masks/l/c/w.png"


@pytest.mark.parametrize("uri", ["s3://elsewhere/k", "http://x/k", "", "masks/l"])
def test_another_buckets_address_is_refused(blobs: Blobs, uri: str) -> None:
    with pytest.raises(ValueError, match="is not an address in bucket"):
        blobs.key_of(uri)


def test_list_gives_what_has_the_prefix_in_order(blobs: Blobs) -> None:
    for key in ("a/2", "a/10", "b/1", "a/1"):
        blobs.put(key, b"x")
    assert [info.key for info in blobs.list("a/")] == ["a/1", "a/10", "a/2"]
    assert [info.key for info in blobs.list("a/", start_after="a/1")] == ["a/10", "a/2"]
    assert list(blobs.list("c/")) == []


def test_list_goes_beyond_one_page(blobs: Blobs) -> None:
    keys = [f"many/{n:04}" for n in range(1100)]
    with ThreadPoolExecutor(RACERS) as pool:
        list(pool.map(lambda key: blobs.put(key, b""), keys))
    assert [info.key for info in blobs.list("many/")] == keys


def test_deleting_is_final_and_a_repeat_is_no_error(blobs: Blobs) -> None:
    blobs.put("k", b"x")
    blobs.delete("k")
    blobs.delete("k")
    assert blobs.head("k") is None


def test_a_put_if_absent_never_replaces(blobs: Blobs) -> None:
    blobs.put("k", b"first", condition=IF_ABSENT)
    with pytest.raises(ConflictError):
        blobs.put("k", b"second", condition=IF_ABSENT)
    assert blobs.get("k").data == b"first"


def test_a_put_if_match_replaces_only_what_was_seen(blobs: Blobs) -> None:
    seen = blobs.put("k", b"1")
    blobs.put("k", b"2", condition=PutCondition(seen))
    with pytest.raises(ConflictError):
        blobs.put("k", b"3", condition=PutCondition(seen))
    assert blobs.get("k").data == b"2"


def test_a_put_if_match_on_nothing_is_refused(blobs: Blobs) -> None:
    with pytest.raises(ConflictError):
        blobs.put("k", b"1", condition=PutCondition("0" * 32))
    assert blobs.head("k") is None


def test_what_was_deleted_is_absent_and_matches_no_more(blobs: Blobs) -> None:
    seen = blobs.put("k", b"1")
    blobs.delete("k")
    with pytest.raises(ConflictError):
        blobs.put("k", b"2", condition=PutCondition(seen))
    blobs.put("k", b"3", condition=IF_ABSENT)
    assert blobs.get("k").data == b"3"


def test_of_many_who_put_if_absent_one_wins(blobs: Blobs) -> None:
    for round_ in range(3):
        key = f"race/{round_}"

        def race(racer: int, key: str = key) -> bool:
            try:
                blobs.put(key, str(racer).encode(), condition=IF_ABSENT)
            except ConflictError:
                return False
            return True

        with ThreadPoolExecutor(RACERS) as pool:
            won = list(pool.map(race, range(RACERS)))
        assert sum(won) == 1
        assert blobs.get(key).data == str(won.index(True)).encode()


def test_no_update_is_lost_among_many_who_match(blobs: Blobs) -> None:
    blobs.put("counter", b"0")

    def add_one(_: int) -> None:
        while True:
            seen = blobs.get("counter")
            try:
                blobs.put("counter", str(int(seen.data) + 1).encode(), condition=PutCondition(seen.etag))
            except ConflictError:
                continue
            return

    with ThreadPoolExecutor(RACERS) as pool:
        list(pool.map(add_one, range(24)))
    assert blobs.get("counter").data == b"24"


def test_a_large_object_goes_up_in_parts_and_comes_back_whole(blobs: Blobs) -> None:
    data = bytes(range(256)) * 4096 * 20  # 20 MiB
    etag = blobs.put("large", data, condition=IF_ABSENT)
    assert get_verified(blobs, "large", sha256=sha256_hex(data)) == data
    info = blobs.head("large")
    assert info is not None
    assert (info.size_bytes, info.etag) == (len(data), etag)


def test_a_large_object_keeps_its_condition(blobs: Blobs) -> None:
    blobs.put("large", b"first")
    with pytest.raises(ConflictError):
        blobs.put("large", b"x" * (9 * 2**20), condition=IF_ABSENT)
    assert blobs.get("large").data == b"first"


@pytest.mark.parametrize("condition", ["absent", "match"])
def test_of_many_who_put_a_large_object_one_wins(blobs: Blobs, condition: str) -> None:
    seen = blobs.put("large", b"first") if condition == "match" else None

    def race(racer: int) -> bool:
        try:
            blobs.put("large", bytes([racer]) * (8 * 2**20 + 1), condition=PutCondition(seen))
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        won = list(pool.map(race, range(4)))
    assert sum(won) == 1
    assert set(blobs.get("large").data) == {won.index(True)}


def test_bytes_that_are_not_those_of_the_digest_are_refused(blobs: Blobs) -> None:
    blobs.put("k", b"tampered")
    with pytest.raises(CorruptError, match=r"8 bytes with SHA-256 .* expected"):
        get_verified(blobs, "k", sha256=sha256_hex(b"original"))


def test_tags_are_accepted(blobs: Blobs) -> None:
    blobs.put("k", b"x", tags={"keep": "normal", "why": "a b&c"})
    assert blobs.get("k").data == b"x"


def test_a_store_that_answers_passes_its_probe(blobs: Blobs) -> None:
    blobs.probe()


def test_denied_access_is_named_with_operation_and_key(denied_blobs: Blobs) -> None:
    uri = denied_blobs.uri("k")
    for operation, call in {
        f"read {uri}": lambda: denied_blobs.get("k"),
        f"describe {uri}": lambda: denied_blobs.head("k"),
        f"write {uri}": lambda: denied_blobs.put("k", b"y"),
        f"list {uri}": lambda: list(denied_blobs.list("k")),
        f"delete {uri}": lambda: denied_blobs.delete("k"),
        f"reach {uri[:-1]}": denied_blobs.probe,
    }.items():
        with pytest.raises(DeniedError, match=f"^could not {operation}: "):
            call()


def test_a_conditional_put_without_access_is_denied_and_no_lost_race(denied_blobs: Blobs) -> None:
    for condition in (PutCondition("e"), IF_ABSENT):
        with pytest.raises(DeniedError):
            denied_blobs.put("k", b"y", condition=condition)
