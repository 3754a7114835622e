"""Choice of what is labelled while a segmenter serves. Pure."""

from typing import Final

from siad.contracts.events import Decision, VerdictGiven

NEAR_MAX: Final = 1.0  # spreads of the normals' scores; a pseudo-mask that near its threshold has a confidence of 1/2
NEVER_LABELLED: Final = frozenset({"undecodable", "size", "channels", "depth"})  # reasons: no teacher can draw on these


def is_doubtful(verdict: VerdictGiven, spread: float | None) -> bool:
    """Whether a capture is labelled because of its verdict.

    Everything that is rejected is, since defects are rare and a training set needs them; what passed nearer to the
    threshold than one spread; and what was not judged in time.

    Args:
        verdict: of the capture.
        spread: standard deviation of the normals' scores by these weights; None where it can't be read.
    """
    if verdict.decision is Decision.UNKNOWN:
        return verdict.reason not in NEVER_LABELLED
    if verdict.decision is Decision.REJECT or spread is None:
        return True
    return verdict.threshold - verdict.score < NEAR_MAX * spread
