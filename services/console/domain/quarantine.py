"""Captures and corrections in quarantine, which nothing counts. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from services.console.domain.captures import CaptureEntry
from siad.contracts.corrections import CaptureCorrected, CorrectionVerdict
from siad.contracts.quarantine import QuarantineIndex


def entries_outside(entries: Iterable[CaptureEntry], quarantine: QuarantineIndex) -> list[CaptureEntry]:
    """Return the captures that are not in quarantine."""
    return [entry for entry in entries if entry.capture_id not in quarantine.captures]


def corrections_outside(
    latest: Mapping[str, CaptureCorrected], quarantine: QuarantineIndex
) -> dict[str, CaptureCorrected]:
    """Return the newest corrections without captures in quarantine.

    A correction that is itself in quarantine says no more than that its capture is unsure, until a person corrects it
    again.
    """
    return {
        capture_id: _unsure(one) if quarantine.has_correction(capture_id, one.revision) else one
        for capture_id, one in latest.items()
        if capture_id not in quarantine.captures
    }


def _unsure(correction: CaptureCorrected) -> CaptureCorrected:
    return replace(correction, verdict=CorrectionVerdict.UNSURE, mask_uri="", mask_sha256="")
