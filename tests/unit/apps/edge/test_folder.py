"""The folder on a real file system: what is listed, what is read, what is moved, and what is never overwritten."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from siad.apps.edge.folder import ChangedError, FolderListing, WatchedFolder
from siad.apps.edge.plan import Completeness, FileStamp
from tests.unit.apps.edge.watched import picture

IMAGE = picture(1)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def stamp_of(place: Path) -> FileStamp:
    found = place.stat()
    return FileStamp(found.st_size, found.st_mtime_ns)


def put(place: Path, data: bytes = IMAGE) -> FileStamp:
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(data)
    return stamp_of(place)


def test_images_are_listed_and_all_else_is_named_or_passed_over(root: Path) -> None:
    stamp = put(root / "a.png")
    for name in (".hidden.png", "b.png.part", "c.tmp"):
        put(root / name)
    put(root / "notes.txt")
    (root / "link.png").symlink_to(root / "a.png")
    (root / "nowhere.png").symlink_to(root / "none")
    (root / "folder.png").mkdir()
    os.mkfifo(root / "pipe.png")
    listing = WatchedFolder(root).scan()
    assert listing.files == {"a.png": stamp}
    assert list(listing.ignored) == ["notes.txt"]
    assert sorted(listing.skipped) == ["folder.png", "link.png", "nowhere.png", "pipe.png"]


def test_folders_belong_to_it_only_if_asked_for_and_links_to_folders_never(root: Path, tmp_path: Path) -> None:
    put(root / "shift-1" / "a.png")
    put(root / ".cache" / "b.png")
    (root / "loop").symlink_to(root)
    assert WatchedFolder(root).scan().files == {}
    found = WatchedFolder(root, is_recursive=True).scan()
    assert list(found.files) == ["shift-1/a.png"]
    assert list(found.ignored) == ["loop"]


def test_the_folder_that_files_move_to_is_not_watched_itself(root: Path) -> None:
    stamp = put(root / "a.png")
    folder = WatchedFolder(root, is_recursive=True, move_to=root / "done")
    folder.move("a.png", stamp)
    assert folder.scan() == FolderListing()
    assert (root / "done" / "a.png").read_bytes() == IMAGE


def test_a_folder_that_is_away_is_an_error_and_one_below_it_is_not(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(root / "a.png")
    put(root / "closed" / "b.png")
    scandir = os.scandir

    def closed(place: str) -> Iterator[os.DirEntry[str]]:
        if place.endswith("closed"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return scandir(place)

    monkeypatch.setattr(os, "scandir", closed)
    listing = WatchedFolder(root, is_recursive=True).scan()
    assert list(listing.files) == ["a.png"]
    assert "Permission denied" in listing.skipped["closed/"]
    with pytest.raises(FileNotFoundError):
        WatchedFolder(root / "none").scan()


def test_reading_tells_stamp_digest_and_end(root: Path) -> None:
    stamp = put(root / "a.png")
    look = WatchedFolder(root).inspect("a.png")
    assert (look.stamp, look.end, look.data) == (stamp, Completeness.PROVEN, IMAGE)
    put(root / "b.png", IMAGE[:-1])
    assert WatchedFolder(root).inspect("b.png").end is Completeness.MISSING


def test_a_link_put_in_a_files_place_is_not_followed(root: Path, tmp_path: Path) -> None:
    put(tmp_path / "secret.png")
    (root / "a.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(OSError, match="symbolic links"):
        WatchedFolder(root).inspect("a.png")


def test_a_file_too_large_for_memory_is_not_read(root: Path) -> None:
    with (root / "huge.tif").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(OSError, match="too many for one image"):
        WatchedFolder(root).inspect("huge.tif")


def test_files_with_one_name_are_all_kept(root: Path, out: Path) -> None:
    folder = WatchedFolder(root, move_to=out)
    for number in range(3):
        folder.move("a.png", put(root / "a.png", picture(number)))
    assert [(out / name).read_bytes() for name in ("a.png", "a-1.png", "a-2.png")] == [picture(n) for n in range(3)]
    assert list(root.iterdir()) == []


def test_folders_are_kept_where_files_move_to(root: Path, out: Path) -> None:
    stamp = put(root / "shift-1" / "a.png")
    assert WatchedFolder(root, is_recursive=True, move_to=out).move("shift-1/a.png", stamp) == out / "shift-1" / "a.png"


def test_an_image_that_was_never_sent_is_not_moved(root: Path, out: Path) -> None:
    stamp = put(root / "a.png")
    put(root / "a.png", picture(2))
    with pytest.raises(ChangedError, match="sent as a new image"):
        WatchedFolder(root, move_to=out).move("a.png", stamp)
    assert (root / "a.png").read_bytes() == picture(2)
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("is_taken", [False, True])
def test_an_image_written_in_the_moment_of_the_move_is_brought_back(
    root: Path, out: Path, monkeypatch: pytest.MonkeyPatch, is_taken: bool
) -> None:
    stamp, replace = put(root / "a.png"), Path.replace

    def replace_late(source: Path, target: Path) -> Path:
        if source == root / "a.png":
            put(source, picture(2))
            moved = replace(source, target)
            if is_taken:
                put(source, picture(3))
            return moved
        return replace(source, target)

    monkeypatch.setattr(Path, "replace", replace_late)
    with pytest.raises(ChangedError):
        WatchedFolder(root, move_to=out).move("a.png", stamp)
    assert list(out.iterdir()) == []
    found = sorted(place.read_bytes() for place in root.iterdir())
    assert found == sorted([picture(2), picture(3)] if is_taken else [picture(2)])


def test_to_another_file_system_a_whole_copy_goes_first(root: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stamp, replace = put(root / "a.png"), Path.replace

    def replace_here(source: Path, target: Path) -> Path:
        if source.parent != target.parent:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return replace(source, target)

    monkeypatch.setattr(Path, "replace", replace_here)
    moved = WatchedFolder(root, move_to=out).move("a.png", stamp)
    assert (moved.read_bytes(), stamp_of(moved)) == (IMAGE, stamp)
    assert [place.name for place in out.iterdir()] == ["a.png"]
    assert list(root.iterdir()) == []


def test_what_can_not_be_moved_stays_and_leaves_nothing_behind(
    root: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stamp = put(root / "a.png")

    def refuse(source: Path, target: Path) -> Path:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(PermissionError):
        WatchedFolder(root, move_to=out).move("a.png", stamp)
    assert (root / "a.png").read_bytes() == IMAGE
    assert list(out.iterdir()) == []
