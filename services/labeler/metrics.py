"""Metrics of the labeler, with their units in their names."""

from prometheus_client import Counter, Gauge, Histogram

MASKS = Counter(
    "siad_labeler_masks_total",
    "Pseudo-masks drawn, in the stream and by backfills; a capture that is repeated counts again.",
    ["line"],
)
SKIPPED = Counter(
    "siad_labeler_skipped_total",
    "Inspected captures left to the backfill, because their line had no teacher.",
    ["line"],
)
MISFITS = Counter(
    "siad_labeler_misfits_total",
    "Inspected captures without a pseudo-mask, because their image does not fit the normals. reason: size, channels or "
    "depth.",
    ["line", "reason"],
)
NOT_LABELLED = Counter(
    "siad_labeler_not_labelled_total",
    "Inspected captures without a pseudo-mask by choice: a segmenter passed them clearly, or no teacher can draw them, "
    "and they were not drawn (labelled_share). They are no work that waits; a repeated verdict counts again.",
    ["line"],
)
BACKFILLED = Counter(
    "siad_labeler_backfilled_total",
    "Pseudo-masks published for captures from before the line's first teacher.",
    ["line"],
)
DRAW_SECONDS = Histogram(
    "siad_labeler_draw_seconds",
    "From the request to the scorer to its response, with fetching the image and storing the mask.",
    buckets=(0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
FITS = Counter(
    "siad_labeler_fits_total",
    "Fits that ended, by outcome: released (in service), unchanged (same weights as before), declined (by the gate: "
    "see refit_declined in the log), refused (no teacher on these normals, see fit_refused).",
    ["line", "outcome"],
)
FIT_SECONDS = Histogram(
    "siad_labeler_fit_seconds",
    "From the request for a fit to its weights in service.",
    buckets=(1, 2, 5, 10, 20, 60, 300),
)
NORMALS = Gauge("siad_labeler_normals_captures", "Captures known to be good, as of the last plan.", ["line", "product"])
LEARNING_PAUSED = Gauge(
    "siad_labeler_learning_paused_info",
    "1 where a line learns nothing, by its brake or its setting, as of the last plan; inspection goes on.",
    ["line", "product"],
)
BRAKE_ON = Gauge(
    "siad_labeler_brake_on_info",
    "1 while the brake stops the learning of a line, as of the last plan; 0 also where a person switched learning off.",
    ["line", "product"],
)
BRAKES = Counter(
    "siad_labeler_brakes_total",
    "Moves of the brake of learning, by the state after it: on (pseudo-masks left their bounds) or off.",
    ["line", "state"],
)
