"""Rules of fitting: when, on which normals, and what to backfill. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from siad.contracts.deletion import DeletionIndex
from siad.contracts.events import ImageStored, Intent
from siad.contracts.fit_settings import FitSettings
from siad.contracts.manifest import Manifest
from siad.contracts.methods import TEACHERS
from siad.contracts.place import Place
from siad.contracts.refits import RefitCause
from siad.vision.images import DECODER_VERSION
from siad.vision.preprocess import PREPROCESS_VERSION

STEPS: Final = (10, 20, 50, 100)  # normals; then at every doubling
NORMALS_MAX: Final = 150  # that a teacher is fitted on; more take long and cost the scorer its memory
CLOCK_SKEW_MAX: Final = timedelta(seconds=60)  # between the clocks that stamp a capture and a release
SKEW_CAPTURES_MAX: Final = 6000  # captures of a line in that time, at 100 a second


@dataclass(frozen=True, slots=True)
class FitRecord:
    """How the teacher in service was fitted, as its manifest records it."""

    normals: int  # that it was fitted on; 0 where this version cannot open its weights, so that it is fitted again
    settings: FitSettings | None  # None: fitted by a version that did not record them
    captures: tuple[str, ...] = ()  # ids of all that it was fitted on


def fit_record_of(manifest: Manifest) -> FitRecord:
    """Read from a manifest how its teacher was fitted."""
    versions = (manifest.decoder_version, manifest.preprocess_version)
    can_open = manifest.method in TEACHERS and versions == (DECODER_VERSION, PREPROCESS_VERSION)
    normals = len(manifest.normals) if can_open else 0
    return FitRecord(normals, FitSettings.of_manifest(manifest), (*manifest.normals, *manifest.stream_normals))


def fit_step(normals: int) -> int:
    """Return the largest step that ``normals`` reach; 0 for none."""
    step = max((step for step in STEPS if step <= normals), default=0)
    while step >= STEPS[-1] and 2 * step <= normals:
        step *= 2
    return step


def describe_shortage(place: Place, normals: int) -> str:
    """Say how many normals a first teacher needs.

    Empty if there are enough.
    """
    missing = STEPS[0] - normals
    if missing <= 0:
        return ""
    are = "is" if missing == 1 else "are"
    return (
        f"line {place.line} has {normals} of {STEPS[0]} normals of {place.product}; {missing} more {are} needed before "
        "a teacher is fitted"
    )


def describe_unlearning(normals: int, unlearn: RefitCause | None) -> str:
    """Say why a teacher keeps serving that must be replaced.

    Args:
        normals: that the line may still learn.
        unlearn: why it must; None where it need not.

    Returns:
        One sentence; empty where nothing is to be replaced, or where enough normals are left.
    """
    missing = STEPS[0] - normals
    if unlearn is None or missing <= 0:
        return ""
    what = "a capture in quarantine" if unlearn is RefitCause.QUARANTINED else "a deleted capture"
    return (
        f"the teacher in service holds what is left of {what}, and a new one needs {STEPS[0]} normals, of which "
        f"{normals} are left; send {missing} more"
    )


def choose_normals(normals: Iterable[ImageStored], deletions: DeletionIndex) -> list[ImageStored]:
    """Choose the normals to fit on, without deleted ones.

    Of more than ``NORMALS_MAX`` the first and the last received, half and half: what the line was registered with, and
    what it is like now. A repeat chooses the same ones, so that a fit after a crash gives the same weights.
    """
    kept = (normal for normal in normals if not deletions.covers(normal.capture_id, normal.received_at))
    ordered = sorted(kept, key=lambda normal: (normal.received_at, normal.capture_id))
    if len(ordered) <= NORMALS_MAX:
        return ordered
    half = NORMALS_MAX // 2
    return [*ordered[:half], *ordered[-half:]]


def choose_missed(captures: Iterable[ImageStored], *, first_released_at: datetime, most: int) -> list[ImageStored]:
    """Choose what a backfill labels: the newest ``most`` of before the release.

    Captures of the minute after it are added, not counted: clocks may differ, and a fast stream must not displace
    captures of before the release.
    """
    ordered = sorted(captures, key=lambda capture: (capture.received_at, capture.capture_id))
    before = [capture for capture in ordered if capture.received_at <= first_released_at]
    return (before[-most:] if most else []) + ordered[len(before) :]


def was_missed(capture: ImageStored, *, product: str, first_released_at: datetime) -> bool:
    """Whether a capture arrived before there was a teacher to label it."""
    is_inspected = capture.intent is Intent.INSPECT and capture.product == product
    return is_inspected and capture.received_at <= first_released_at + CLOCK_SKEW_MAX
