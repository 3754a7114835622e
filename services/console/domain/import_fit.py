"""Whether the new images of an archive fit their line. Pure.

An image that does not fit the normals of the weights in service gets the verdict UNKNOWN, and no segmenter learns from
it. A normal of another kind would be learned from: later images of that kind would be scored too.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from services.console.domain.importing import ImportProblem, name_images
from services.console.domain.serving import WeightsInService
from siad.contracts.normals_profile import MisfitReason, SizeRule
from siad.contracts.place import Place, describe_no_weights
from siad.vision.headers import ImageError
from siad.vision.images import decode_image
from siad.vision.plausibility import Misfit, find_misfit

CURE: Final = "Leave them out, or send them to a line of their own"


@dataclass(slots=True, kw_only=True)
class ImportFit:
    """The new images of an archive beside the weights that judge them."""

    place: Place
    serving: WeightsInService | None
    sizes: SizeRule
    inspected: int = 0  # new images that are no normals
    misfits: dict[str, Misfit] = field(default_factory=dict)  # of those, by image
    odd_normals: dict[str, Misfit] = field(default_factory=dict)

    def add(self, image: str, data: bytes, *, is_normal: bool) -> None:
        """Compare a new image with the normals of the weights.

        Without weights it is counted. Ingest says what is wrong with a file whose pixels can't be read.
        """
        self.inspected += not is_normal
        profile = None if self.serving is None else self.serving.profile
        if profile is None:
            return
        try:
            misfit = find_misfit(profile, decode_image(data), sizes=self.sizes)
        except ImageError:
            return
        if misfit is not None:
            (self.odd_normals if is_normal else self.misfits)[image] = misfit

    def problems(self) -> Iterator[ImportProblem]:
        """Name the normals that do not fit, by reason."""
        for reason, found in _by_reason(self.odd_normals):
            image, misfit = next(iter(found.items()))
            any_size = f"; if parts of every size are meant: siad line put {self.place.line} --sizes any"
            detail = (
                f"{image} is no normal of {self.place}: {misfit.detail}. It would spoil the next teacher. {CURE}"
                f"{any_size if reason is MisfitReason.SIZE else ''}"
            )
            yield ImportProblem(name_images(list(found), "normals"), detail)

    def warnings(self, *, is_stored: bool) -> list[str]:
        """Say which images get no score, and why.

        Args:
            is_stored: whether the images go in now; otherwise it is a check, or there are problems.
        """
        texts = []
        for reason, found in _by_reason(self.misfits):
            image, misfit = next(iter(found.items()))
            count = "1 image does" if len(found) == 1 else f"{len(found)} images do"
            texts.append(
                f"{count} not fit the normals of {self.place}, for example {image}: {misfit.detail}. They get the "
                f"verdict unknown, reason {reason.value}, and no segmenter learns from them. {CURE}"
            )
        if self.serving is None and self.inspected:
            count = "1 image" if self.inspected == 1 else f"{self.inspected} images"
            cure = (
                "Once siad status shows weights for it, siad send has them judged, as new captures"
                if is_stored
                else "Import them once siad status shows weights for it"
            )
            texts.append(f"{count} to inspect: {describe_no_weights(self.place)}. {cure}")
        return texts


def _by_reason(misfits: Mapping[str, Misfit]) -> Iterator[tuple[MisfitReason, dict[str, Misfit]]]:
    for reason in MisfitReason:
        if found := {image: misfit for image, misfit in misfits.items() if misfit.reason is reason}:
            yield reason, found
