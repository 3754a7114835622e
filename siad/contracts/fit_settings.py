"""Settings of a line that a teacher is fitted by."""

from dataclasses import dataclass
from typing import Final

from siad.contracts.events import LineChanged
from siad.contracts.manifest import Manifest
from siad.contracts.methods import AUTO, DEFAULT

# names among a manifest's metrics
BUDGET: Final = "false_reject_budget"
INPUT_PX: Final = "asked_input_px"
BITS: Final = "asked_bits"


@dataclass(frozen=True, slots=True, kw_only=True)
class FitSettings:
    """Settings of a fit; a change of any fits a new teacher."""

    false_reject_budget: float  # share of good parts that may be rejected, in (0, 1)
    method: str = DEFAULT
    region: tuple[float, ...] = ()  # as in ``siad.contracts.region``; empty for the whole view
    input_px: int = 0  # side of the square with the area to which images are scaled; 0: the method's own
    bits: int = 0  # significant bits of the samples of 16-bit files; 0: found from the normals

    @classmethod
    def of_line(cls, line: LineChanged) -> "FitSettings":
        """Take the settings that a line asks for."""
        return cls(
            false_reject_budget=line.false_reject_budget,
            method=line.method or DEFAULT,
            region=line.region,
            input_px=line.input_px,
            bits=line.bits,
        )

    @classmethod
    def of_manifest(cls, manifest: Manifest) -> "FitSettings | None":
        """Take a teacher's settings; None where its manifest lacks them."""
        metrics = dict(manifest.metrics)
        if BUDGET not in metrics:
            return None
        return cls(
            false_reject_budget=metrics[BUDGET],
            method=AUTO if AUTO in metrics else manifest.method,
            region=manifest.region,
            input_px=int(metrics.get(INPUT_PX, 0)),
            bits=int(metrics.get(BITS, 0)),
        )
