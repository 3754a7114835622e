"""Check of a folder before any work.

Every file is read once, so that what is wrong shows before the first fit and not after the last.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from siad.apps.files import link_reason_of, listed, printable, read_stable
from siad.apps.lab.evaluate.folder import FolderError, ImageFolder, LabelledSample
from siad.apps.lab.evaluate.folder_names import GOOD
from siad.apps.lab.evaluate.mask_file import MaskFileError, read_masks
from siad.vision.images import ImageError, describe_image

LARGE_RATIO = 0.5  # a mask that marks more of its image is pointed out


@dataclass(slots=True)
class _MaskFindings:
    """Samples whose masks are unusual."""

    missing: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    large: list[str] = field(default_factory=list)
    on_good: list[str] = field(default_factory=list)


def check_folder(folder: ImageFolder, *, on_done: Callable[[], None] = lambda: None) -> ImageFolder:
    """Read every image's header and every mask.

    Args:
        folder: as listed.
        on_done: called after each image.

    Returns:
        The folder without images that can't be read, and without masks that can't; its report names them.

    Raises:
        FolderError: no image is left to fit on, or none to test on.
    """
    skipped = folder.report.skipped
    normals, samples, findings = [], [], _MaskFindings()
    for path in folder.normals:
        if _size_of(path, skipped) is not None:
            normals.append(path)
        on_done()
    for sample in folder.samples:
        size_px = _size_of(sample.path, skipped)
        if size_px is not None:
            samples.append(_checked(sample, size_px, folder, findings))
        on_done()
    for what, left in (("fit on", normals), ("test on", samples)):
        if not left:
            msg = f"none of the images to {what} in {printable(folder.path)} can be read; nothing was evaluated: "
            raise FolderError(msg + listed(f"{printable(path)}: {why}" for path, why in skipped.items()))
    checked = replace(folder, normals=tuple(normals), samples=tuple(samples))
    checked.report.notes += _notes(checked, findings)
    return checked


def folder_json(folder: ImageFolder) -> dict[str, Any]:
    """What was taken for what, as JSON values."""
    report = folder.report
    return {
        "normals": len(folder.normals),
        "classes": {
            kind: {"images": images, "with_mask": masks} for kind, images, masks in class_counts(folder.samples)
        },
        "folders": report.taken,
        "mask_styles": dict(report.mask_styles),
        "unused_masks": [{"file": printable(path), "detail": why} for path, why in report.unused_masks.items()],
        "skipped": [{"file": printable(path), "detail": why} for path, why in report.skipped.items()],
        "ignored": dict(report.ignored),
        "notes": report.notes,
    }


def class_counts(samples: Iterable[LabelledSample]) -> list[tuple[str, int, int]]:
    """Class, number of images and number of them with a mask.

    Good images first.
    """
    images: Counter[str] = Counter()
    masks: Counter[str] = Counter()
    for sample in samples:
        images[sample.kind] += 1
        masks[sample.kind] += bool(sample.mask_paths)
    order = sorted(images, key=lambda kind: (kind != GOOD, kind))
    return [(kind, images[kind], masks[kind]) for kind in order]


def _size_of(path: Path, skipped: dict[Path, str]) -> tuple[int, int] | None:
    """Height and width of an image.

    None if it can't be read, which is noted.
    """
    try:
        info = describe_image(read_stable(path))
    except OSError as error:
        skipped[path] = link_reason_of(path, error)
    except ImageError as error:
        skipped[path] = str(error)
    else:
        return info.height_px, info.width_px
    return None


def _checked(
    sample: LabelledSample, size_px: tuple[int, int], folder: ImageFolder, findings: _MaskFindings
) -> LabelledSample:
    """The sample, without masks that can't be used."""
    bare = replace(sample, mask_paths=())
    if not sample.mask_paths:
        if sample.is_defect:
            findings.missing.append(sample.name)
        return bare
    try:
        reading = read_masks(sample.mask_paths, size_px)
    except MaskFileError as error:
        folder.report.skipped[error.path] = f"{error.why}; {sample.name} counts without a mask"
        return bare
    folder.report.mask_styles[reading.style] += 1
    marked = float(np.mean(reading.mask_HW > 0))
    if not sample.is_defect:
        if marked:
            findings.on_good.append(sample.name)
        return bare
    if not marked:
        findings.empty.append(sample.name)
        return bare
    if marked > LARGE_RATIO:
        findings.large.append(f"{sample.name} ({marked:.0%})")
    return sample


def _notes(folder: ImageFolder, findings: _MaskFindings) -> list[str]:
    defects = sum(sample.is_defect for sample in folder.samples)
    if findings.missing and len(findings.missing) == defects:
        notes = ["no defective image has a mask: no pixel figures"]
    else:
        notes = _note(findings.missing, "defective images without a mask, which count for the figures of images only")
    notes += _note(findings.empty, "masks of defective images that mark nothing, so that these count without a mask")
    notes += _note(findings.large, "masks that mark more than half of their image; check that defects are white")
    notes += _note(findings.on_good, "good images with a mask that marks pixels, which is not used")
    unused = [f"{_below(folder, path)} ({why})" for path, why in folder.report.unused_masks.items()]
    return notes + _note(unused, "masks that are not used")


def _note(names: Sequence[str], text: str) -> list[str]:
    return [f"{text}: {len(names)} ({listed(names)})"] if names else []


def _below(folder: ImageFolder, path: Path) -> str:
    return printable(path.relative_to(folder.path))
