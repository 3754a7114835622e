"""Report of a chaos run, as a table and as JSON. Pure except for ``write``."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.e2e.chaos.schedule import Blow, Scale
from tests.e2e.chaos.site import Recovery

VAR = Path(__file__).parents[3] / "var" / "chaos"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Result of one run."""

    seed: int
    scale: Scale
    blows: Sequence[Blow]
    recoveries: Sequence[Recovery]
    counts: dict[str, int]
    seconds: dict[str, float]
    load: str  # of the whole machine at the end, as uptime tells it: what else it had to do
    faults: Sequence[str]

    def __str__(self) -> str:
        """The printed report."""
        scale = self.scale
        lines = [
            "",
            f"chaos, {scale.name}: seed {self.seed}, {scale.captures} captures at {scale.per_s:g}/s, load {self.load}",
            "",
            markdown(self.recoveries),
            "",
            ", ".join(f"{name} {count}" for name, count in self.counts.items()),
            ", ".join(f"{name} {value:g} s" for name, value in self.seconds.items()),
            "",
            *(self.faults or ["no faults"]),
        ]
        return "\n".join(lines)

    def write(self) -> Path:
        """Write the JSON; that of the long version is ``report.json``."""
        path = VAR / ("report.json" if self.scale.name == "long" else f"report-{self.scale.name}.json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self._raw(), indent=2) + "\n")
        return path

    def _raw(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "scale": asdict(self.scale),
            "schedule": [asdict(blow) for blow in self.blows],
            "recoveries": [asdict(one) for one in self.recoveries],
            "counts": self.counts,
            "seconds": self.seconds,
            "load": self.load,
            "faults": list(self.faults),
        }


def markdown(recoveries: Sequence[Recovery]) -> str:
    """Recovery times as a table; seconds from the kill."""
    rows = [("killed", "at s", "started again after s", "ready after s", "works again after s", "down with it")]
    for one in sorted(recoveries, key=lambda one: one.at_s):
        started, ready, progress = (
            "never" if value is None else f"{value:.1f}" for value in (one.started_s, one.ready_s, one.progress_s)
        )
        rows.append((one.victim, f"{one.at_s:.1f}", started, ready, progress, ", ".join(one.others)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def printed(seed: int, blows: Sequence[Blow]) -> str:
    """The schedule, printed before the run."""
    return "\n".join(["", f"SIAD_CHAOS_SEED={seed}", *map(str, blows)])


def percentile(values: Sequence[float], part: float) -> float:
    """Quantile ``part`` of the values; 0 if there are none."""
    return round(sorted(values)[min(int(part * len(values)), len(values) - 1)], 2) if values else 0.0
