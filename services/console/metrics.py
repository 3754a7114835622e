"""Metrics of the console, with their units in their names."""

from typing import Final

from prometheus_client import Counter

STAGE: Final = "console"

CORRECTIONS: Final = Counter(
    "siad_console_corrections_total",
    "Corrections stored and published, by what the person said: good, defect or unsure.",
    ["line", "decision"],
)
