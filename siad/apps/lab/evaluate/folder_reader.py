"""Sorting of a folder's files into normals, test images and masks.

MVTec AD's layout is ``train/good``, ``test/<class>`` and ``ground_truth/<class>``; ``folder_names.py`` has the others.
Nothing is left out in silence: what is not used is in the report.

Source: Bergmann et al. 2021, The MVTec Anomaly Detection Dataset, IJCV 129; most sets are published in this layout.
"""

from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Final

from siad.apps.files import SUFFIXES, counted, listed, printable
from siad.apps.lab.evaluate.folder import FolderError, FolderReport, ImageFolder, LabelledSample
from siad.apps.lab.evaluate.folder_names import (
    GOOD,
    is_good,
    is_mask_folder,
    is_test,
    is_train,
    mask_name,
    may_be_good,
)
from siad.apps.lab.evaluate.mask_match import NamedImage, NamedMask, match_masks
from siad.apps.walk import is_system, list_images

LAYOUT: Final = "train/good, test/good, test/CLASS and, for masks, ground_truth/CLASS"


def read_folder(path: Path) -> ImageFolder:
    """List the images of a folder.

    Raises:
        FolderError: images to fit on or to test on are missing.
    """
    return _FolderReader(path).read()


def find_good(path: Path) -> Path:
    """The folder with good images of a set, else the folder itself.

    Raises:
        FolderError: it is not a folder.
    """
    if not path.is_dir():
        msg = f"{printable(path)} is not a folder; nothing was ranked. Name one with good images"
        raise FolderError(msg)
    trains = [folder for folder in path.iterdir() if is_train(folder.name) and folder.is_dir()]
    goods = [folder for train in trains for folder in train.iterdir() if is_good(folder.name) and folder.is_dir()]
    return sorted(goods)[0] if goods else path


class _FolderReader:
    """Sorts the content of one folder.

    Args:
        root: the folder.
    """

    def __init__(self, root: Path) -> None:
        self._root, self._report = root, FolderReport()
        self._normals: list[Path] = []
        self._images: list[NamedImage] = []
        self._masks: list[NamedMask] = []

    def read(self) -> ImageFolder:
        """Sort everything, match the masks, and check that there is enough."""
        if not self._root.is_dir():
            msg = f"{printable(self._root)} is not a folder; nothing was evaluated. A set has {LAYOUT}"
            raise FolderError(msg)
        for folder in self._folders(self._root):
            if is_train(folder.name):
                self._read_train(folder)
            elif is_test(folder.name):
                self._read_test(folder)
            elif is_mask_folder(folder.name):
                self._read_masks(folder, PurePath())
            else:
                self._note_unused(folder)
        loose = list_images(self._root, is_deep=False)
        if loose.images:
            self._note(f"not used: {counted(len(loose.images), 'image')} beside the folders ({_names(loose.images)})")
        self._require_content()
        tests = [folder for folder in self._folders(self._root) if is_test(folder.name)]
        matched = match_masks(self._images, self._masks)
        self._report.unused_masks |= matched.unused
        samples = [
            LabelledSample(
                path=image.path,
                kind=GOOD if is_good(image.folder) else printable(image.folder),
                mask_paths=matched.of_image.get(image.path, ()),
                label=printable(image.path.relative_to(tests[0] if len(tests) == 1 else self._root)),
            )
            for image in self._images
        ]
        return ImageFolder(path=self._root, normals=tuple(self._normals), samples=tuple(samples), report=self._report)

    def _read_train(self, train: Path) -> None:
        for folder in self._folders(train):
            if is_good(folder.name):
                found = self._list(folder)
                self._normals += found
                self._take(folder, f"normals, {counted(len(found), 'image')}")
            elif not is_mask_folder(folder.name, is_inside=True):
                self._note_unused(folder)
        self._skip_loose(train, "it lies beside the folder of good images; move it to train/good")

    def _read_test(self, test: Path) -> None:
        for folder in self._folders(test):
            if is_mask_folder(folder.name, is_inside=True):
                self._read_masks(folder, PurePath())
            else:
                self._read_class(folder)
        self._skip_loose(test, "it lies beside the folders of classes; move it to test/good or test/CLASS")

    def _read_class(self, folder: Path) -> None:
        """Sort images and the masks that lie among them."""
        paths = [(path, path.relative_to(folder)) for path in self._list(folder)]
        known = {below.with_name(name) for _, below in paths for name in (below.stem, below.name)}
        images, masks = 0, 0
        for path, below in paths:
            inner = next((part for part in below.parts[:-1] if is_mask_folder(part, is_inside=True)), None)
            named = mask_name(below.stem)
            if inner is not None:
                outer = PurePath(*(part for part in below.parts if part != inner))
                self._masks.append(NamedMask(path, folder.name / outer))
            elif named is not None and below.with_name(named.base) in known:
                self._masks.append(NamedMask(path, folder.name / below))
            else:
                self._images.append(NamedImage(path, folder.name, below))
                images += 1
                continue
            masks += 1
        beside = f", {counted(masks, 'mask')} beside them" if masks else ""
        self._take(folder, f"{'good' if is_good(folder.name) else 'defects'}, {counted(images, 'image')}{beside}")
        if may_be_good(folder.name):
            self._note(f"{self._below(folder)} counts as a class of defects; if its parts are good, name it {GOOD}")

    def _read_masks(self, folder: Path, prefix: PurePath) -> None:
        found = self._list(folder, may_be_deep=True)
        self._masks += [NamedMask(path, prefix / path.relative_to(folder)) for path in found]
        self._take(folder, f"masks, {counted(len(found), 'file')}")

    def _note_unused(self, folder: Path) -> None:
        found = list_images(folder)
        if found.images:
            self._note(
                f"{self._below(folder)} is not used: {counted(len(found.images), 'image')} in a folder of another name"
            )

    def _folders(self, folder: Path) -> list[Path]:
        """Folders in a folder, by name.

        Without hidden ones and those of the operating system.
        """
        paths = sorted(folder.iterdir())
        return [path for path in paths if path.is_dir() and path.name[0] != "." and not is_system(path.name)]

    def _list(self, folder: Path, *, may_be_deep: bool = False) -> list[Path]:
        content = list_images(folder)
        self._report.skipped |= content.skipped
        self._report.ignored += content.ignored
        deep = sum(path.parent != folder for path in content.images)
        if deep and not may_be_deep:
            self._note(f"{self._below(folder)}: {counted(deep, 'image')} in folders below it, used too")
        return content.images

    def _skip_loose(self, folder: Path, why: str) -> None:
        found = list_images(folder, is_deep=False)
        self._report.skipped |= dict.fromkeys(found.images, why) | found.skipped
        self._report.ignored += found.ignored

    def _take(self, folder: Path, role: str) -> None:
        self._report.taken[self._below(folder)] = role

    def _note(self, text: str) -> None:
        self._report.notes.append(text)

    def _below(self, path: Path) -> str:
        return printable(path.relative_to(self._root))

    def _require_content(self) -> None:
        """Refuse a folder without normals or test images.

        Says what was found in their place.
        """
        suffixes = ", ".join(sorted(SUFFIXES))
        for what, is_missing, where in (
            ("images to fit a teacher on", not self._normals, "train/good"),
            ("images to test on", not self._images, "test/good and test/CLASS"),
        ):
            if is_missing:
                msg = (
                    f"{printable(self._root)} has no {what}; nothing was evaluated. Files ending in {suffixes} were "
                    f"looked for in {where}; found: {self._found()}. A set has {LAYOUT}"
                )
                raise FolderError(msg)

    def _found(self) -> str:
        found = [f"{folder} ({role})" for folder, role in self._report.taken.items()]
        found += self._report.notes
        found += [f"{self._below(path)} ({why})" for path, why in self._report.skipped.items()]
        if not found:
            found = [f"folder {printable(path.name)}" for path in self._folders(self._root)]
        return listed(found) if found else "no folders"


def _names(paths: Sequence[Path]) -> str:
    return listed(printable(path.name) for path in paths)
