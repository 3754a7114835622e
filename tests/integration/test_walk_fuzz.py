"""Folders of any content: every entry is an image, skipped with a reason, or ignored by a rule."""

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from siad.apps.edge.folder import WatchedFolder
from siad.apps.files import SUFFIXES, printable, read_stable
from siad.apps.walk import find_images
from tests.fuzzing import fuzzed
from tests.unit.apps.odd_files import ODD
from tests.unit.in_memory import folder_in_memory

STEMS = st.sampled_from(
    ["a", "[red]", "\U0001f600", "caf\udce9", "line\n", "n" * 240, " ", "-x", "%s", ".h", "._m", "~"]
)
ENDS = st.sampled_from([".png", ".JPG", ".tif", "", ".txt", ".part", ".png.bak"])
KINDS = st.sampled_from(["file", "folder", "link", "device", *ODD])
ENTRIES = st.lists(st.tuples(STEMS, ENDS, KINDS, st.booleans()), max_size=8)


def make(root: Path, name: str, kind: str) -> bool:
    """Make one entry; whether its name was free."""
    place = root / name
    if os.path.lexists(place):
        return False
    if kind == "file":
        place.write_bytes(b"image")
    elif kind == "folder":
        place.mkdir()
    elif kind in ODD:
        ODD[kind][0](place)
    else:
        place.symlink_to("/dev/null" if kind == "device" else root)
    return True


@fuzzed
@given(entries=ENTRIES)
def test_every_entry_of_any_folder_is_accounted_for_and_nothing_raises(
    entries: list[tuple[str, str, str, bool]],
) -> None:
    with folder_in_memory() as root:
        (root / "below").mkdir()
        made, folders = 0, 0
        for stem, suffix, kind, is_below in entries:
            is_made = make(root / "below" if is_below else root, stem + suffix, kind)
            made += is_made
            is_plain = not stem.startswith((".", "~")) and suffix.lower() not in {".part", *SUFFIXES}
            folders += is_made and kind == "folder" and is_plain
        found = find_images([root])
        assert len(found.images) + len(found.skipped) + found.ignored.total() == made - folders
        for path in found.images:
            assert read_stable(path) == b"image"
            printable(path).encode()
        for path, why in found.skipped.items():
            printable(path).encode()
            assert why
        watched = WatchedFolder(root, is_recursive=True).scan()
        assert {root / path for path in watched.files if Path(path).suffix.lower() in SUFFIXES} <= set(found.images)
