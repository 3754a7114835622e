"""How a line wants its teacher fitted, and whether one was fitted so. Pure."""

from dataclasses import dataclass
from typing import Final

from siad.contracts.events import LineChanged
from siad.contracts.manifest import Manifest
from siad.contracts.methods import AUTO, DEFAULT

BUDGET: Final = "false_reject_budget"  # among a manifest's metrics
INPUT_PX: Final = "asked_input_px"


@dataclass(frozen=True, slots=True, kw_only=True)
class FitSettings:
    """What of a line's settings goes into a fit: a change in any of it asks for another teacher."""

    false_reject_budget: float  # share of good parts that may be rejected, in (0, 1)
    method: str = DEFAULT
    region: tuple[float, ...] = ()  # as ``siad.contracts.region`` has it; empty for the whole view
    input_px: int = 0  # side of the square with the area that images are brought to; 0: as the method has it

    @classmethod
    def of_line(cls, line: LineChanged) -> "FitSettings":
        """What a line asks for."""
        return cls(
            false_reject_budget=line.false_reject_budget,
            method=line.method or DEFAULT,
            region=line.region,
            input_px=line.input_px,
        )

    @classmethod
    def of_manifest(cls, manifest: Manifest) -> "FitSettings | None":
        """What a teacher was fitted by; None of one that was made before that was written down."""
        metrics = dict(manifest.metrics)
        if BUDGET not in metrics:
            return None
        return cls(
            false_reject_budget=metrics[BUDGET],
            method=AUTO if AUTO in metrics else manifest.method,
            region=manifest.region,
            input_px=int(metrics.get(INPUT_PX, 0)),
        )
