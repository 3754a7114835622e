"""Which mask belongs to which image, by their names. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from siad.apps.lab.evaluate.folder_names import is_good, mask_name, plain

_SUFFIXED, _SEVERAL, _SAME_NAME = range(3)  # the first kind that an image has counts


@dataclass(frozen=True, slots=True)
class NamedImage:
    """A test image, by its class and its path below that."""

    path: Path
    folder: str  # name of the folder of its class
    below: PurePath


@dataclass(frozen=True, slots=True)
class NamedMask:
    """A mask file, by its path below a folder of masks."""

    path: Path
    below: PurePath


@dataclass(slots=True)
class MatchedMasks:
    """Masks of each image, and masks that are not used."""

    of_image: dict[Path, tuple[Path, ...]] = field(default_factory=dict)
    unused: dict[Path, str] = field(default_factory=dict)  # -> why


def match_masks(images: Sequence[NamedImage], masks: Sequence[NamedMask]) -> MatchedMasks:
    """Give each image its masks.

    A mask lies in the folder of its class, or of no class; its name is that of the image with ``_mask`` or the like, or
    the same. A folder with the name of the image may hold several masks, which are united.
    """
    index = _ImageIndex(images)
    found: dict[Path, dict[int, list[Path]]] = defaultdict(lambda: defaultdict(list))
    matched = MatchedMasks()
    for mask in masks:
        kind, candidates = index.images_of(mask)
        if len(candidates) == 1:
            found[candidates[0]][kind].append(mask.path)
        elif candidates:
            matched.unused[mask.path] = f"its name fits {len(candidates)} images"
        else:
            matched.unused[mask.path] = "its name fits no test image"
    for image, kinds in found.items():
        used, *others = [paths for _, paths in sorted(kinds.items())]
        if min(kinds) != _SEVERAL:
            used.sort(key=lambda path: ("mask" not in path.name.lower(), path))
            others, used = [used[1:], *others], used[:1]
        matched.of_image[image] = tuple(sorted(used))
        for path in (path for paths in others for path in paths):
            matched.unused[path] = f"{used[0].name} is the mask of {image.name}"
    return matched


class _ImageIndex:
    """Images by class, folder and name, without letter case."""

    def __init__(self, images: Iterable[NamedImage]) -> None:
        self._full: dict[tuple[str, ...], list[NamedImage]] = defaultdict(list)
        self._in_class: dict[tuple[str, str], list[NamedImage]] = defaultdict(list)
        self._anywhere: dict[str, list[NamedImage]] = defaultdict(list)
        self._classes = set()
        for image in images:
            self._classes.add(_class(image.folder))
            for name in _names(image.below):
                self._full[(_class(image.folder), *_lower(image.below.parent.parts), name)].append(image)
                self._in_class[_class(image.folder), name].append(image)
                self._anywhere[name].append(image)

    def images_of(self, mask: NamedMask) -> tuple[int, list[Path]]:
        """Kind of a mask's name, and the images that it fits."""
        parts = _lower(mask.below.parent.parts)
        stem = mask.below.stem
        named = mask_name(stem)
        readings = [] if named is None else [(_SEVERAL if named.is_numbered else _SUFFIXED, parts, named.base)]
        readings.append((_SAME_NAME, parts, stem))
        if parts:
            folder = mask.below.parent.name
            readings += [(_SEVERAL, parts[:-1], name) for name in (folder, folder.removesuffix("_json"))]
        for kind, folders, name in readings:
            if images := self._find(folders, name):
                return kind, [image.path for image in images]
        return _SAME_NAME, []

    def _find(self, folders: tuple[str, ...], name: str) -> list[NamedImage]:
        low = name.lower()
        if not folders:
            found = self._anywhere[low]
        elif _class(folders[0]) in self._classes:
            found = self._full[(_class(folders[0]), *folders[1:], low)] or (
                self._in_class[_class(folders[0]), low] if len(folders) == 1 else []
            )
        else:
            found = []
        exact = [image for image in found if name in (image.below.stem, image.below.name)]
        return exact or found


def _names(below: PurePath) -> set[str]:
    """Name of an image without and with its extension.

    ``000.jpg_mask.png`` has it too.
    """
    return {below.stem.lower(), below.name.lower()}


def _class(folder: str) -> str:
    return "good" if is_good(folder) else plain(folder) or folder


def _lower(parts: Sequence[str]) -> tuple[str, ...]:
    return tuple(part.lower() for part in parts)
