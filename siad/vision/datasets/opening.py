"""Format of an archive, by the names of its files."""

from collections.abc import Iterator, Sequence

from siad.vision.datasets import folders, voc, yolo
from siad.vision.datasets.coco_reading import read_coco
from siad.vision.datasets.folder_reading import read_masks, read_mvtec, read_voc, read_yolo
from siad.vision.datasets.reading import DatasetError, DatasetFiles, ReadSample


def open_dataset(files: DatasetFiles) -> tuple[str, Iterator[ReadSample]]:
    """Find the format, and read the samples.

    Raises:
        DatasetError: it is none of the formats.
    """
    names = files.names
    if _has_folder(names, voc.CLASSES):
        return "voc", read_voc(files)
    if yolo.CLASSES in names and _has_folder(names, "labels"):
        return "yolo", read_yolo(files)
    if (path := _coco_file(names)) is not None:
        return "coco", read_coco(files, path)
    if (root := _mvtec_root(names)) is not None:
        return "mvtec", read_mvtec(files, root)
    if _has_folder(names, folders.IMAGES) and _has_folder(names, folders.MASKS):
        return "png", read_masks(files)
    msg = (
        "the archive is no data set that can be read: it has neither annotations/*.json (COCO), SegmentationClass "
        "(VOC), labels and data.yaml (YOLO), images and masks (png), nor train/good (MVTec)"
    )
    raise DatasetError(msg)


def _has_folder(names: Sequence[str], folder: str) -> bool:
    return any(name.startswith(f"{folder}/") for name in names)


def _coco_file(names: Sequence[str]) -> str | None:
    """Path of the annotations.

    Raises:
        DatasetError: there are several.
    """
    found = [name for name in names if name.startswith("annotations/") and name.endswith(".json")]
    if len(found) > 1:
        msg = f"the archive has {len(found)} files of annotations ({', '.join(found[:3])}). Import them one by one"
        raise DatasetError(msg)
    return found[0] if found else None


def _mvtec_root(names: Sequence[str]) -> str | None:
    """Folder that has ``train`` and ``test``; empty for none above them.

    Raises:
        DatasetError: there are several.
    """
    ends = ("train/good/", "test/good/", "ground_truth/")
    found = {name[: name.index(end)] for name in names for end in ends if f"/{end}" in f"/{name}"}
    roots = sorted(one for one in found if one.count("/") <= 1)
    if len(roots) > 1:
        msg = f"the archive has several products ({', '.join(roots[:3])}). Import them one by one, each on its line"
        raise DatasetError(msg)
    return roots[0] if roots else None
