"""Images below a folder, with a reason for everything else.

Links to folders are followed once: a folder that was listed already is not listed again, so a link to a parent ends.
"""

import os
import stat
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from siad.apps.edge.names import FileKind, kind_of
from siad.apps.files import kind_name, link_reason_of, printable, reason_of

HIDDEN: Final = "hidden or temporary"
SYSTEM: Final = "of the operating system"
_SYSTEM: Final = frozenset(
    {
        ".ds_store",
        "thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
        "@eadir",
        "__macosx",
        "#recycle",
        "$recycle.bin",
        "lost+found",
    }
)


@dataclass(slots=True)
class FolderContent:
    """What lies below one folder or several."""

    images: list[Path] = field(default_factory=list)  # by name, sorted
    skipped: dict[Path, str] = field(default_factory=dict)  # named like an image, but unusable -> why
    ignored: Counter[str] = field(default_factory=Counter)  # ignored by a rule -> how many

    def ignored_text(self) -> str:
        """One line of text about the ignored files.

        Empty if there are none.
        """
        return ", ".join(f"{count} {rule}" for rule, count in sorted(self.ignored.items()))


def is_system(name: str) -> bool:
    """Whether Windows, macOS or a NAS makes files of this name."""
    return name.lower() in _SYSTEM or name.startswith("._")


def find_images(paths: Sequence[Path]) -> FolderContent:
    """List the given files, and the images below given folders.

    A file that was named is taken whatever its extension; inside a folder the extension counts.
    """
    content = FolderContent()
    for path in paths:
        try:
            is_folder = stat.S_ISDIR(path.stat().st_mode)
        except OSError as error:
            content.skipped[path] = link_reason_of(path, error)
            continue
        if is_folder:
            list_images(path, content)
        elif is_system(path.name):
            content.ignored[SYSTEM] += 1
        else:
            content.images.append(path)
    return content


def list_images(folder: Path, content: FolderContent | None = None, *, is_deep: bool = True) -> FolderContent:
    """List the images below a folder.

    What can't be listed is skipped with its reason.

    Args:
        folder: where to begin.
        content: to add to; None: a new one.
        is_deep: include folders below it.
    """
    content = content if content is not None else FolderContent()
    walk = _Walk(content)
    walk.list_one(folder)
    while is_deep and (walk.todo or walk.links):  # links to folders last, so that each is listed under its own name
        walk.list_one(walk.todo.pop() if walk.todo else walk.links.pop(0))
    for place in walk.named:
        if not any(path.is_relative_to(place) for path in walk.found):
            content.skipped.setdefault(place, "a folder that holds no images")
    content.images += sorted(walk.found)
    return content


@dataclass(slots=True)
class _Walk:
    """A walk below one folder."""

    content: FolderContent
    found: list[Path] = field(default_factory=list)
    named: list[Path] = field(default_factory=list)  # folders that are named like images
    todo: list[Path] = field(default_factory=list)
    links: list[Path] = field(default_factory=list)  # to folders
    seen: set[tuple[int, int]] = field(default_factory=set)  # device and inode of folders that were listed

    def list_one(self, folder: Path) -> None:
        """List one folder; those in it are listed later."""
        try:
            state = folder.stat()
            identity = (state.st_dev, state.st_ino)
            if identity in self.seen:
                self.content.skipped[folder] = "a link to a folder that is read already"
                return
            self.seen.add(identity)
            with os.scandir(folder) as entries:
                for entry in sorted(entries, key=lambda one: one.name):
                    self._add(entry, folder / entry.name)
        except OSError as error:
            self.content.skipped[folder] = f"a folder that can't be listed: {reason_of(error)}"

    def _add(self, entry: os.DirEntry[str], path: Path) -> None:
        kind = kind_of(entry.name)
        if is_system(entry.name):
            self.content.ignored[SYSTEM] += 1
            return
        if kind is FileKind.TEMPORARY:
            self.content.ignored[HIDDEN] += 1
            return
        try:
            mode = entry.stat().st_mode
        except OSError as error:
            if kind is FileKind.IMAGE:
                self.content.skipped[path] = link_reason_of(path, error)
            else:
                self.content.ignored[_rule(entry.name)] += 1
            return
        if stat.S_ISDIR(mode):
            self.named += [path] if kind is FileKind.IMAGE else []
            (self.links if entry.is_symlink() else self.todo).append(path)
        elif kind is not FileKind.IMAGE:
            self.content.ignored[_rule(entry.name)] += 1
        elif stat.S_ISREG(mode):
            self.found.append(path)
        else:
            self.content.skipped[path] = f"{kind_name(mode)}, not a file with an image"


def _rule(name: str) -> str:
    suffix = Path(name).suffix.lower()
    return printable(suffix)[:16] if suffix else "without an extension"
