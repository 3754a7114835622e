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
TIGHTENS: Final = "budget_tightens"

DEFAULT_BUDGET: Final = 0.05  # ten normals can serve it; it tightens as they grow
TIGHTEST_BUDGET: Final = 0.01  # to which a budget tightens by itself


def budget_for(normals: int, *, budget: float, tightens: bool) -> float:
    """Compute the false-reject budget that some normals are fitted to.

    A budget that tightens is at most 1 / (normals + 1), the least that they can promise, and not under
    ``TIGHTEST_BUDGET``.

    Args:
        normals: number of them.
        budget: share of good parts that may be rejected, in (0, 1).
        tightens: whether the line leaves the budget to its normals.
    """
    return min(budget, max(TIGHTEST_BUDGET, 1 / (normals + 1))) if tightens else budget


@dataclass(frozen=True, slots=True, kw_only=True)
class FitSettings:
    """Settings of a fit; a change of any fits a new teacher."""

    false_reject_budget: float  # share of good parts that may be rejected, in (0, 1)
    method: str = DEFAULT
    region: tuple[float, ...] = ()  # as in ``siad.contracts.region``; empty for the whole view
    input_px: int = 0  # side of the square with the area to which images are scaled; 0: the method's own
    bits: int = 0  # significant bits of the samples of 16-bit files; 0: found from the normals
    budget_tightens: bool = False  # whether the budget tightens as normals grow; see ``budget_for``

    def budget_for(self, normals: int) -> float:
        """Compute the budget that a fit on this number of normals keeps."""
        return budget_for(normals, budget=self.false_reject_budget, tightens=self.budget_tightens)

    @classmethod
    def budget_of(cls, teacher: Manifest) -> float:
        """Take the budget that a teacher was fitted to.

        Raises:
            KeyError: its manifest lacks it.
        """
        return dict(teacher.metrics)[BUDGET] if teacher.false_rejects is None else teacher.false_rejects.budget

    @classmethod
    def of_line(cls, line: LineChanged) -> "FitSettings":
        """Take the settings that a line asks for."""
        return cls(
            false_reject_budget=line.false_reject_budget,
            method=line.method or DEFAULT,
            region=line.region,
            input_px=line.input_px,
            bits=line.bits,
            budget_tightens=line.budget_tightens,
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
            budget_tightens=TIGHTENS in metrics,
        )
