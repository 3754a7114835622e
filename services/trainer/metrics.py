"""Metrics of the trainer, with their units in their names."""

from prometheus_client import Counter, Gauge, Histogram

LEDGER_ROWS = Counter(
    "siad_trainer_ledger_rows_total",
    "Pseudo-masks and corrections written to the ledger and acknowledged by the store; a repeated batch counts again.",
    ["line"],
)
RUNS = Counter(
    "siad_trainer_runs_total",
    "Training runs closed, by outcome: accepted, refused (figures too weak), failed (the job left no candidate).",
    ["line", "outcome"],
)
RUN_SECONDS = Histogram(
    "siad_trainer_run_seconds",
    "From freezing the training set to the judgement, which closes the run.",
    ["outcome"],
    buckets=(15, 30, 60, 90, 120, 180, 300, 600, 1800, 3600),
)
LEARNING_SECONDS = Histogram(
    "siad_trainer_learning_seconds",
    "From ingest's acceptance of the newest capture of a training set's ledger to the release of its segmenter.",
    ["line"],
    buckets=(60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 43200, 86400),
)
JOB_STARTS = Counter("siad_trainer_job_starts_total", "Training jobs started, restarts included.", ["line"])
RELEASES = Counter("siad_trainer_releases_total", "Segmenters put in service.", ["line"])
NEW_CAPTURES = Gauge(
    "siad_trainer_new_captures",
    "Labelled captures since the training set of the last run that did not fail, as of the last plan.",
    ["line", "product"],
)
NEW_CORRECTIONS = Gauge(
    "siad_trainer_new_corrections",
    "Captures corrected by people since the training set of the last run that did not fail, as of the last plan.",
    ["line", "product"],
)
TRIALS = Counter(
    "siad_trainer_trials_total",
    "Trials of candidates ended, by outcome: promoted, dropped, undecided, superseded, interrupted.",
    ["line", "outcome"],
)
TRIAL_CAPTURES = Gauge(
    "siad_trainer_trial_captures",
    "Captures of the open trial, in its present phase. kind: pairs (judged by both), extra (rejected by the candidate "
    "alone), fewer (by the serving weights alone), kept or lost (clear finds of the serving weights that the candidate "
    "rejects or passes).",
    ["line", "product", "kind"],
)
