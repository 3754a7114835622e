"""What an import does with each image and answer. Pure.

An answer that is in the file and in the line already changes nothing. It replaces what the same import said before, and
the revision that the file was exported from. Any other answer is newer or another person's, and stays.
"""

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from siad.contracts.corrections import CaptureCorrected, CorrectionVerdict
from siad.contracts.ids import ImageId
from siad.contracts.marked_objects import CLASSES_MAX, MarkedObject

PROBLEMS_MAX: Final = 50  # that a report lists
AUTHOR_PREFIX: Final = "import:"


class ImportAction(StrEnum):
    """What becomes of an answer."""

    ANSWER = "answer"
    UNCHANGED = "unchanged"
    KEPT = "kept"  # another answer stays


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportAnswer:
    """What a file says about an image."""

    verdict: CorrectionVerdict
    author: str
    mask_sha256: str
    objects: Sequence[MarkedObject]
    exported_revision: int | None  # of the line that is imported to; None: not from there


def decide(held: CaptureCorrected | None, answer: ImportAnswer) -> ImportAction:
    """Decide on an answer beside the present one."""
    if held is None:
        return ImportAction.ANSWER
    is_same = (held.verdict, held.mask_sha256) == (answer.verdict, answer.mask_sha256)
    if is_same and _classes(held.objects) == _classes(answer.objects):
        return ImportAction.UNCHANGED
    if held.author == answer.author or held.revision == answer.exported_revision:
        return ImportAction.ANSWER
    return ImportAction.KEPT


def _classes(objects: Sequence[MarkedObject]) -> Counter[str]:
    return Counter(one.class_name for one in objects if one.class_name and one.fate != "deleted")


def key_of(facts: Mapping[str, Any], image_id: ImageId) -> str:
    """Idempotency key of an image: a repeat is the same capture."""
    return f"{AUTHOR_PREFIX}{facts.get('capture_id') or image_id}"


@dataclass(frozen=True, slots=True)
class ImportProblem:
    """A file that keeps an import back."""

    file: str
    detail: str


@dataclass(slots=True)
class ImportReport:
    """What an import did, or would do."""

    format: str = ""
    is_check: bool = False
    images: int = 0
    normals: int = 0  # of the images
    new_images: int = 0  # that the line did not have
    answers: int = 0  # stored, or that would be
    unchanged: int = 0
    kept: int = 0  # other answers of the line, which stay
    unanswered: int = 0  # images about which the file says nothing
    problem_count: int = 0
    problems: list[ImportProblem] = field(default_factory=list)  # the first ones
    warnings: list[str] = field(default_factory=list)  # which images get no score, and why

    def add_problem(self, file: str, detail: str) -> None:
        """Count a problem, and list it among the first ones.

        A file that the detail names first is named once.
        """
        self.problem_count += 1
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(ImportProblem(file, detail.removeprefix(f"{file} ")))

    def add(self, action: ImportAction) -> None:
        """Count what becomes of an answer."""
        self.answers += action is ImportAction.ANSWER
        self.unchanged += action is ImportAction.UNCHANGED
        self.kept += action is ImportAction.KEPT


def name_images(images: Sequence[str], noun: str = "images") -> str:
    """Name the first of some images, and count the others."""
    more = len(images) - 1
    return f"{images[0]} and {more} more {noun if more > 1 else noun.removesuffix('s')}" if more else images[0]


def describe_unknown_classes(line: str, known: Sequence[str], unknown: Iterable[str]) -> str:
    """Say which classes a line lacks, and the command that adds them.

    Args:
        line: its name.
        known: classes of the line, in the order of their digits.
        unknown: those of an archive that are not among them, at least one.
    """
    added = sorted(set(unknown))
    what = f"class {added[0]} is none" if len(added) == 1 else f"classes {', '.join(added)} are none"
    text = f"{what} of line {line!r} ({', '.join(known) or 'none'})"
    if len(known) + len(added) > CLASSES_MAX:
        return f"{text}. A line has at most {CLASSES_MAX} classes: give some in the archive the same name"
    command = f"siad line put {line} --classes {shlex.quote(','.join([*known, *added]))}"
    return f"{text}. Add {'it' if len(added) == 1 else 'them'}: {command}"
