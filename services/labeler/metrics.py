"""Every metric of the labeler. Names end in their unit; labels have few values."""

from prometheus_client import Counter, Gauge, Histogram

MASKS = Counter("siad_labeler_masks_total", "Pseudo-masks drawn; repeats count again.", ["line"])
SKIPPED = Counter("siad_labeler_skipped_total", "Captures left to the backfill: no teacher yet.", ["line"])
BACKFILLED = Counter("siad_labeler_backfilled_total", "Pseudo-masks of captures from before the teacher.", ["line"])
DRAW_SECONDS = Histogram(
    "siad_labeler_draw_seconds",
    "From asking the scorer to its answer, the image fetched and the mask stored.",
    buckets=(0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
FITS = Counter("siad_labeler_fits_total", "Teachers fitted, by outcome.", ["line", "outcome"])
FIT_SECONDS = Histogram(
    "siad_labeler_fit_seconds", "From asking for a fit to the stored weights.", buckets=(1, 2, 5, 10, 20, 60, 300)
)
NORMALS = Gauge("siad_labeler_normals_captures", "Captures known to be good.", ["line", "product"])
