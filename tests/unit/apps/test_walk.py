"""Folders of images with everything that is no image."""

from pathlib import Path

from siad.apps.walk import find_images, list_images
from tests.unit.apps.odd_files import JUNK, NAMES, ODD, make_odd


def put(place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(b"an image")


def test_every_odd_file_has_a_reason_and_the_others_are_listed(tmp_path: Path) -> None:
    make_odd(tmp_path)
    for name in (*NAMES, "folder.png/b.png"):
        put(tmp_path / name)
    found = find_images([tmp_path])
    assert {str(path.relative_to(tmp_path)) for path in found.images} == {*NAMES, "folder.png/b.png"}
    reasons = {path.name: reason for path, reason in found.skipped.items()}
    assert reasons.keys() == {*ODD, "device.png"}
    for name, (_, said) in ODD.items():
        assert said in reasons[name]
    assert found.ignored.total() == len(JUNK)
    assert found.ignored_text() == "1 .txt, 2 hidden or temporary, 4 of the operating system"


def test_a_folder_named_like_an_image_is_skipped_unless_it_holds_images(tmp_path: Path) -> None:
    put(tmp_path / "full.png/a.png")
    put(tmp_path / "x.png/notes.txt")
    (tmp_path / "plain").mkdir()
    found = find_images([tmp_path])
    assert [path.name for path in found.images] == ["a.png"]
    assert found.skipped == {tmp_path / "x.png": "a folder that holds no images"}


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    put(tmp_path / "b/a.png")
    put(tmp_path / "elsewhere/c.png")
    (tmp_path / "set").mkdir()
    (tmp_path / "set/b").symlink_to(tmp_path / "b")
    (tmp_path / "set/up").symlink_to(tmp_path / "set")
    (tmp_path / "set/a").symlink_to(tmp_path / "b")
    found = list_images(tmp_path / "set")
    assert [path.relative_to(tmp_path).as_posix() for path in found.images] == ["set/a/a.png"]
    assert {path.name for path in found.skipped} == {"b", "up"}


def test_a_named_file_counts_whatever_it_is_called_unless_a_system_made_it(tmp_path: Path) -> None:
    for name in ("photo", "Thumbs.db"):
        put(tmp_path / name)
    found = find_images([tmp_path / "photo", tmp_path / "Thumbs.db", tmp_path / "none.png"])
    assert found.images == [tmp_path / "photo"]
    assert (list(found.skipped), found.ignored_text()) == ([tmp_path / "none.png"], "1 of the operating system")
