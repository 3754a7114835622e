"""Ports of inference. Every call may raise ``TransientError``.

Shape suffixes: H = image height, W = image width.
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from services.inference.domain.judge import CaptureJudgement, FetchedImage, Prediction, UnknownReason
from services.inference.domain.known_state import StaleState
from services.inference.domain.releases import ReleasePointer
from siad.contracts.corrections import ThresholdSet
from siad.contracts.events import ImageStored, LineChanged, VerdictGiven
from siad.contracts.ids import WeightsId
from siad.contracts.normals_profile import SizeRule
from siad.contracts.place import Place
from siad.vision.images import Image
from siad.vision.threshold_in_use import ThresholdInUse


class LineSettings(Protocol):
    """Settings of lines, at any revision."""

    async def settings(self, line: str, revision: int) -> LineChanged:
        """Return the settings that an event names.

        Raises:
            PoisonError: there is no such revision.
        """
        ...


class PresentLines(Protocol):
    """Settings of lines at present, or as they were last known."""

    async def check(self) -> None:
        """Raise TransientError until any settings are known."""
        ...

    def present(self, line: str) -> LineChanged | None:
        """Return the present settings; None where there is no such line."""
        ...


class ImageSource(Protocol):
    """Images of captures."""

    async def fetch(self, event: ImageStored) -> FetchedImage:
        """Read, verify and decode the image of a capture.

        Raises:
            PoisonError: it is missing, differs from its digest, or does not decode.
        """
        ...


class ImageDecoder(Protocol):
    """Decodes images outside the event loop."""

    async def decode(self, data: bytes) -> FetchedImage:
        """Decode one image.

        Raises:
            ImageError: the bytes are no image.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingWeights:
    """Weights in service at one place, as ``GET /v1/weights`` reports them."""

    release: ReleasePointer
    previous: str | None  # weights that served before
    is_loaded: bool  # in memory; otherwise they are loaded for the line's next capture
    swaps: int  # since the process started
    runner: str = ""  # what runs the network; empty while they are not in memory
    threshold: ThresholdInUse | None = None  # None while they are not in memory


class ThresholdLookup(Protocol):
    """Thresholds set for weights since they were released."""

    def of(self, place: Place, weights: WeightsId) -> ThresholdSet | None:
        """Return the threshold that was set; None for that of the manifest."""
        ...


class LinePredictors(Protocol):
    """Weights of all lines."""

    async def prepare(self, place: Place) -> UnknownReason | None:
        """Load the weights of this place; the reason if none can judge.

        Raises:
            TransientError: released weights can't be loaded now; they will be tried again.
        """
        ...

    async def predict(self, image: Image, place: Place, *, sizes: SizeRule = SizeRule.NORMALS) -> Prediction | None:
        """Examine one image by the weights in service; None if none."""
        ...


class StateAge(Protocol):
    """Age of the releases, settings and thresholds by which images are judged."""

    def stale(self) -> StaleState | None:
        """Return age and reason where broker or store is away; None otherwise."""
        ...


class WeightsReporter(Protocol):
    """The weights in service and the pauses of their swaps."""

    @property
    def longest_pause_s(self) -> float:
        """Longest pause by a swap since the process started, in seconds."""
        ...

    def serving(self) -> list[ServingWeights]:
        """List the weights in service, by line and product."""
        ...


class DriftLog(Protocol):
    """What drifts in the images of each line."""

    def note(self, event: ImageStored, judgement: CaptureJudgement) -> None:
        """Count a judged capture of the stream."""
        ...


class CaptureProbes(Protocol):
    """Synthetic defects in copies of passed captures, judged beside the stream."""

    def judging(self) -> AbstractContextManager[None]:
        """Hold up probes while a capture of the stream is judged."""
        ...

    def offer(self, event: ImageStored, image_HWC: Image, judgement: CaptureJudgement, *, sizes: SizeRule) -> None:
        """Probe a copy of a capture that passed, if it is drawn."""
        ...


class CaptureTrials(Protocol):
    """Trials of candidates: canary decisions and second judgements."""

    def predictors_of(self, event: ImageStored, serving: LinePredictors) -> LinePredictors:
        """Return the weights that decide a capture."""
        ...

    def offer(self, event: ImageStored, image_HWC: Image, judgement: CaptureJudgement, *, sizes: SizeRule) -> None:
        """Have both weights of an open trial judge a capture."""
        ...


class MaskStore(Protocol):
    """Masks of rejected captures."""

    async def store(self, mask_HW: NDArray[np.uint8], *, event: ImageStored, judgement: CaptureJudgement) -> str:
        """Write the mask of a capture, and return its address.

        A repeat writes equal bytes.
        """
        ...


class SpooledVerdicts(Protocol):
    """Verdicts that the broker did not acknowledge yet, on the local disk."""

    async def find(self, event: ImageStored) -> VerdictGiven | None:
        """Return the verdict that a capture was given before; None without one."""
        ...

    def require_room(self) -> None:
        """Raise TransientError where the broker refuses verdicts and there is no room."""
        ...

    async def keep(self, verdict: VerdictGiven) -> None:
        """Keep a verdict, if the broker refuses verdicts now."""
        ...


class ErasedCaptures(Protocol):
    """Captures that are erased on request."""

    async def unless_erased(
        self, event: ImageStored, handle: Callable[[], Awaitable[list[VerdictGiven]]]
    ) -> list[VerdictGiven]:
        """Call ``handle``, unless the capture is erased: then return no events."""
        ...
