"""The journal on disk: what comes back after a restart, for whom, and who may write."""

import sqlite3
from pathlib import Path

import pytest

from siad.apps.edge.journal import Journal, journal_path, locked, read_refused
from siad.apps.edge.plan import FileStamp, FileState, JournalEntry

HANDED = JournalEntry(stamp=FileStamp(10, 2**61), sha256="a" * 64, state=FileState.HANDED, capture_id="c" * 32)
REFUSED = JournalEntry(
    stamp=FileStamp(5, 7), sha256="b" * 64, state=FileState.REFUSED, code="damaged", detail="it's \U0001f4a5"
)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "watch" / "cam.sqlite"


def test_what_was_noted_is_known_after_a_restart_to_its_line_alone(place: Path) -> None:
    with Journal(place, "press-1") as journal:
        journal.record("shift/a.png", HANDED, now_s=1.0)
        journal.record("\udcff.png", REFUSED, now_s=1.0)  # a name that is no UTF-8
        journal.record("shift/a.png", HANDED, now_s=2.0)
    with Journal(place, "press-1") as journal:
        assert journal.entries() == {"shift/a.png": HANDED, "\udcff.png": REFUSED}
    with Journal(place, "press-2") as journal:
        assert journal.entries() == {}


def test_refusals_of_every_line_are_read_while_a_watch_writes(place: Path) -> None:
    assert read_refused(place) == {}
    with Journal(place, "press-1") as one, Journal(place, "press-2") as other:
        one.record("a.png", HANDED, now_s=1.0)
        one.record("b.png", REFUSED, now_s=1.0)
        other.record("a.png", REFUSED, now_s=1.0)
        assert read_refused(place) == {"press-1": {"b.png": REFUSED}, "press-2": {"a.png": REFUSED}}


def test_only_what_is_gone_and_old_is_forgotten(place: Path) -> None:
    with Journal(place, "press-1") as journal:
        for path, noted_s in {"old-there": 1.0, "old-gone": 1.0, "new-gone": 9.0}.items():
            journal.record(path, HANDED, now_s=noted_s)
        assert journal.prune(["old-there"], before_s=5.0) == ["old-gone"]
        assert sorted(journal.entries()) == ["new-gone", "old-there"]


def test_of_one_folder_and_line_there_is_one_watch(place: Path) -> None:
    with locked(place, "press-1"):
        with pytest.raises(BlockingIOError, match="to line 'press-1'; nothing was sent"), locked(place, "press-1"):
            pass
        with locked(place, "press-2"):
            pass
    with locked(place, "press-1"):
        pass


def test_folders_of_one_name_have_journals_of_their_own(tmp_path: Path) -> None:
    one, other = journal_path(tmp_path, Path("/cam/in")), journal_path(tmp_path, Path("/cam2/in"))
    assert one != other
    assert one.name.startswith("in-")
    assert journal_path(tmp_path, Path("/")).name.startswith("folder-")


def test_a_file_that_is_no_journal_is_an_error(place: Path) -> None:
    place.parent.mkdir()
    place.write_bytes(b"no journal" * 100)
    with pytest.raises(sqlite3.DatabaseError):
        Journal(place, "press-1")
