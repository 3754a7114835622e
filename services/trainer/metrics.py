"""Every metric of the trainer. Names end in their unit; labels have few values."""

from prometheus_client import Counter, Gauge, Histogram

LEDGER_ROWS = Counter(
    "siad_trainer_ledger_rows_total",
    "Pseudo-masks written to the ledger and acknowledged by the store; repeats count again.",
    ["line"],
)
RUNS = Counter("siad_trainer_runs_total", "Training runs judged, by outcome.", ["line", "outcome"])
RUN_SECONDS = Histogram(
    "siad_trainer_run_seconds",
    "From freezing the training set to the judgement.",
    ["outcome"],
    buckets=(15, 30, 60, 90, 120, 180, 300, 600, 1800, 3600),
)
JOB_STARTS = Counter("siad_trainer_job_starts_total", "Training jobs started, restarts included.", ["line"])
RELEASES = Counter("siad_trainer_releases_total", "Segmenters released: pointer moved.", ["line"])
NEW_CAPTURES = Gauge(
    "siad_trainer_new_captures", "Labelled captures since the last training set was frozen.", ["line", "product"]
)
