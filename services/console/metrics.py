"""Metrics of the console, with their units in their names."""

from typing import Final

from prometheus_client import Counter, Gauge

STAGE: Final = "console"

CORRECTIONS: Final = Counter(
    "siad_console_corrections_total",
    "Corrections stored and published, by what the person said: good, defect or unsure.",
    ["line", "decision"],
)
FALSE_REJECTS: Final = Gauge(
    "siad_console_false_reject_ratio",
    "Share of good parts that the weights in service reject, from answers to captures drawn at random. kind: "
    "estimated, and low and high, between which it lies with 90% probability. Absent without such answers.",
    ["line", "product", "kind"],
)
RECALL: Final = Gauge(
    "siad_console_recall_ratio",
    "Share of defective parts that the weights in service reject, from answers to captures drawn at random; kind as of "
    "siad_console_false_reject_ratio.",
    ["line", "product", "kind"],
)
BUDGET: Final = Gauge(
    "siad_console_false_reject_budget_ratio", "Share of good parts that a line may reject, by its settings.", ["line"]
)
REVIEW_DEBT: Final = Gauge(
    "siad_console_review_debt_captures",
    "Captures in memory within 20% of the threshold that no person has answered: an answer to these teaches most.",
    ["line", "product"],
)
