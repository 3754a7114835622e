"""What is due, what is whole, and which files are one capture."""

import pytest

from siad.apps.edge.plan import (
    INCOMPLETE_FACTOR,
    Completeness,
    FileDecision,
    FileInspection,
    FileStamp,
    FileState,
    JournalEntry,
    UnsettledFile,
    completeness_of,
    decide,
    key_of,
    plan,
)
from tests.unit.apps.edge.watched import picture

OLD, NEW = FileStamp(10, 1), FileStamp(10, 2)


def known(stamp: FileStamp, state: FileState = FileState.HANDED) -> JournalEntry:
    return JournalEntry(stamp=stamp, sha256="a" * 64, state=state)


def inspection(end: Completeness, sha256: str = "a" * 64, stamp: FileStamp = OLD) -> FileInspection:
    return FileInspection(stamp=stamp, sha256=sha256, end=end)


def fresh(now_s: float = 0.0, stamp: FileStamp = OLD) -> UnsettledFile:
    return UnsettledFile(stamp=stamp, since_s=now_s, inspect_at_s=now_s)


def test_what_is_new_or_changed_is_due_the_oldest_first() -> None:
    files = {"b": OLD, "a": OLD, "late": FileStamp(1, 9), "held": OLD, "refused": OLD, "changed": NEW}
    journal = {"held": known(OLD), "refused": known(OLD, FileState.REFUSED), "changed": known(OLD)}
    todo = plan(files, journal, {}, now_s=5.0)
    assert todo.due == ["a", "b", "changed", "late"]
    assert todo.accepted == ["held"]
    assert todo.unsettled["a"].since_s == 5.0


def test_what_waits_is_due_at_its_time_and_sooner_if_it_changes() -> None:
    wait = UnsettledFile(stamp=OLD, since_s=0.0, inspect_at_s=7.0, sha256="b" * 64)
    assert plan({"a": OLD}, {}, {"a": wait}, now_s=6.9).due == []
    assert plan({"a": OLD}, {}, {"a": wait}, now_s=7.0).due == ["a"]
    changed = plan({"a": NEW}, {}, {"a": wait}, now_s=1.0)
    assert (changed.due, changed.unsettled["a"].since_s, changed.unsettled["a"].sha256) == (["a"], 1.0, "")


def test_what_is_gone_waits_no_more() -> None:
    assert plan({}, {}, {"a": fresh()}, now_s=0.0).unsettled == {}


def test_a_file_that_proves_its_end_is_whole_at_once() -> None:
    assert decide(inspection(Completeness.PROVEN), fresh(), now_s=0.0, settle_s=1.0)[0] is FileDecision.SEND


@pytest.mark.parametrize(
    ("end", "need_s"), [(Completeness.DECLARED, 1.0), (Completeness.MISSING, 1.0 * INCOMPLETE_FACTOR)]
)
def test_a_file_without_proof_must_rest(end: Completeness, need_s: float) -> None:
    wait, now_s = fresh(), 0.0
    while now_s < need_s:
        decision, wait = decide(inspection(end), wait, now_s=now_s, settle_s=1.0)
        assert decision is FileDecision.WAIT
        assert now_s < wait.inspect_at_s <= now_s + 1.0
        now_s = wait.inspect_at_s
    assert now_s == need_s
    assert decide(inspection(end), wait, now_s=now_s, settle_s=1.0)[0] is FileDecision.SEND


def test_bytes_that_change_under_one_stamp_begin_their_rest_anew() -> None:
    _, wait = decide(inspection(Completeness.DECLARED), fresh(), now_s=0.0, settle_s=1.0)
    decision, wait = decide(inspection(Completeness.DECLARED, "b" * 64), wait, now_s=1.0, settle_s=1.0)
    assert (decision, wait.since_s) == (FileDecision.WAIT, 1.0)
    assert decide(inspection(Completeness.DECLARED, "b" * 64), wait, now_s=2.0, settle_s=1.0)[0] is FileDecision.SEND


def test_bytes_that_were_not_read_twice_are_not_known_to_rest() -> None:
    late = decide(
        inspection(Completeness.DECLARED), fresh(), now_s=50.0, settle_s=1.0
    )  # seen long ago, read for the first time
    assert late[0] is FileDecision.WAIT
    assert (
        decide(inspection(Completeness.DECLARED), late[1], now_s=late[1].inspect_at_s, settle_s=1.0)[0]
        is FileDecision.SEND
    )


def test_what_is_foreign_is_put_aside_once_it_rests() -> None:
    wait = UnsettledFile(stamp=OLD, since_s=0.0, inspect_at_s=0.0, sha256="a" * 64)
    assert (
        decide(inspection(Completeness.FOREIGN), wait, now_s=INCOMPLETE_FACTOR * 1.0, settle_s=1.0)[0]
        is FileDecision.IGNORE
    )


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif", ".webp"])
def test_no_beginning_of_an_image_counts_as_its_end(suffix: str) -> None:
    data = picture(1, suffix)
    whole = completeness_of(data, is_named=True)
    assert whole is (Completeness.PROVEN if suffix in {".png", ".jpg"} else Completeness.DECLARED)
    for cut in range(len(data)):
        end = completeness_of(data[:cut], is_named=True)
        assert end is Completeness.MISSING or suffix == ".tif", cut  # a TIFF's directory may lie before padding


def test_room_made_before_the_pixels_is_no_proof() -> None:
    for suffix in (".png", ".jpg"):
        data = picture(1, suffix)
        assert completeness_of(data[:60] + bytes(len(data) - 60), is_named=True) is Completeness.MISSING


def test_a_name_without_an_extension_is_judged_by_its_content() -> None:
    assert completeness_of(picture(1), is_named=False) is Completeness.PROVEN
    assert completeness_of(b"BMW is not a bitmap", is_named=False) is Completeness.FOREIGN


def test_the_key_follows_place_and_bytes_and_nothing_else() -> None:
    key = key_of("/cam", "a.png", "a" * 64)
    assert key == key_of("/cam", "a.png", "a" * 64)
    others = [key_of("/cam2", "a.png", "a" * 64), key_of("/cam", "b.png", "a" * 64), key_of("/cam", "a.png", "b" * 64)]
    assert len({key, *others, key_of("/cam", "a.png", "a" * 64, written_ns=1)}) == 5
    assert key_of("/cam", "\udcff.png", "a" * 64).isascii()  # names need not be UTF-8
