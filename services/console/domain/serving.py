"""Weights in service, and the answers that count for them. Pure.

What a person says of a part does not depend on weights. So an answer to a capture that earlier weights scored counts
for the weights in service too, once they have scored that capture.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from services.console.domain.captures import CaptureEntry, findings_in_service
from siad.contracts.corrections import CaptureCorrected, CorrectionVerdict
from siad.contracts.normals_profile import NormalsProfile
from siad.contracts.place import Place


@dataclass(frozen=True, slots=True)
class WeightsInService:
    """The weights that judge a place now, and their threshold."""

    weights: str
    threshold: float
    profile: NormalsProfile | None = None  # of the normals; None where it is not known


def weights_in_service(
    entries: Collection[CaptureEntry], pointed: Mapping[Place, WeightsInService] | None = None
) -> dict[Place, WeightsInService]:
    """Return the weights in service of each place.

    Args:
        entries: captures, with the thresholds that their weights have now.
        pointed: what the pointers in the store say; it takes precedence, since weights just released have judged no
            capture yet. Without it, the newest capture decides.
    """
    newest = findings_in_service(entries)
    found = {place: WeightsInService(finding.weights, finding.threshold) for place, finding in newest.items()}
    for place, serving in (pointed or {}).items():
        if place not in found or found[place].weights != serving.weights:
            found[place] = serving
    return found


def at_weights(
    latest: Mapping[str, CaptureCorrected], entries: Collection[CaptureEntry], serving: Mapping[Place, WeightsInService]
) -> dict[str, CaptureCorrected]:
    """Return answers with the scores of the weights in service.

    An answer whose capture they have not scored keeps its own weights and score.
    """
    by_capture = {entry.capture_id: entry for entry in entries}
    found = {}
    for capture_id, one in latest.items():
        now, entry = serving.get(Place(one.line, one.product)), by_capture.get(capture_id)
        findings = () if entry is None else (entry.verdict, entry.pseudo_mask)
        scored = next((it for it in findings if it is not None and now is not None and it.weights == now.weights), None)
        found[capture_id] = (
            one
            if scored is None or one.weights == scored.weights
            else replace(one, weights=scored.weights, score=scored.score, threshold=scored.threshold)
        )
    return found


def count_earlier(latest: Collection[CaptureCorrected], place: Place, serving: WeightsInService) -> int:
    """Count answers to captures that the weights in service have not scored.

    Unsure answers count for nothing, so they are left out.
    """
    return sum(
        (one.line, one.product) == place
        and one.weights != serving.weights
        and one.verdict is not CorrectionVerdict.UNSURE
        for one in latest
    )
