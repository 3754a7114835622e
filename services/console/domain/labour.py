"""What answers took, and what further ones bring. Pure."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from services.console.domain.captures import CaptureEntry
from services.console.domain.worth import CONFIDENCE_LOW, NEAR_MAX, confidence_of, is_contradicted, is_near
from siad.contracts.corrections import CaptureCorrected
from siad.contracts.place import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class NextTraining:
    """New corrections of a product, of those that start a training run."""

    product: str
    new: int  # captures corrected since the last training set was frozen
    needed: int

    @property
    def missing(self) -> int:
        """Corrections until the next run may start."""
        return max(0, self.needed - self.new)


@dataclass(frozen=True, slots=True, kw_only=True)
class Labour:
    """Effort so far, and what further answers bring."""

    active_s: float  # of the newest answer of each capture; answers without a time count 0
    trainings: tuple[NextTraining, ...]  # by product
    advice: str  # why looking on would not pay; empty while it does


def labour_of(
    entries: Collection[CaptureEntry],
    latest: Mapping[str, CaptureCorrected],
    frozen: Mapping[Place, datetime],
    *,
    needed: int,
) -> Labour:
    """Sum up the answers of the places that have captures.

    Args:
        entries: captures of one line.
        latest: the newest correction of each capture of the line.
        frozen: when the last training set of each place was frozen; places without one are missing.
        needed: new corrections that start a training run.
    """
    places = sorted({entry.place for entry in entries})
    mine = [one for one in latest.values() if Place(one.line, one.product) in places]
    return Labour(
        active_s=sum(one.active_s for one in mine),
        trainings=tuple(_next_training(place, mine, frozen.get(place), needed) for place in places),
        advice=_advice([entry for entry in entries if entry.finding and entry.capture_id not in latest]),
    )


def _next_training(
    place: Place, latest: Iterable[CaptureCorrected], frozen_at: datetime | None, needed: int
) -> NextTraining:
    new = sum(
        Place(one.line, one.product) == place and (frozen_at is None or one.corrected_at > frozen_at) for one in latest
    )
    return NextTraining(product=place.product, new=new, needed=needed)


def _advice(left: Collection[CaptureEntry]) -> str:
    """Say why looking on would not pay.

    Empty while a capture that is left is in doubt.
    """
    if not left or any(_is_doubtful(entry) for entry in left):
        return ""
    captures = "the capture left is" if len(left) == 1 else f"all {len(left)} captures left are"
    return (
        f"Looking on would teach little: {captures} over {NEAR_MAX:.0%} from the threshold, with a confidence of "
        f"{CONFIDENCE_LOW:.0%} or more where it is known, and teacher and segmenter agree. Answer those drawn at "
        "random, which estimate misses and false rejects, and come back after new captures or a release"
    )


def _is_doubtful(entry: CaptureEntry) -> bool:
    assert entry.finding is not None, "captures without a score are not shown"
    return is_near(entry.finding) or is_contradicted(entry) or confidence_of(entry) < CONFIDENCE_LOW
