"""How lines learn: masks, fits, training runs, releases."""

from typing import Final

from siad.runtime.dashboards.panel import Dashboard, Panel, Query, Unit

FIRST_MASK: Final = "the labeler has drawn a mask"
FIRST_RUN: Final = "a training run was closed"
FIRST_FIT: Final = "a fit has ended"

LEARNING: Final = Dashboard(
    name="learning",
    title="SIAD learning",
    panels=(
        Panel(
            title="Captures without a pseudo-mask",
            unit=Unit.COUNT,
            queries=(Query("siad:label_debt:captures", "captures"),),
            text="Captures that the labeler has yet to read. See SiadBehind.",
        ),
        Panel(
            title="Pseudo-masks drawn",
            unit=Unit.PER_SECOND,
            queries=(Query('sum by (line) (rate(siad_labeler_masks_total{line=~"$line"}[5m]))', "{{line}}"),),
            text="In the stream and by backfills.",
            empty_until=FIRST_MASK,
        ),
        Panel(
            title="Known normals",
            unit=Unit.COUNT,
            queries=(Query('siad_labeler_normals_captures{line=~"$line"}', "{{line}}/{{product}}"),),
            text="Captures known to be good, from which teachers are fitted.",
            empty_until="the labeler has planned with its scorer",
        ),
        Panel(
            title="Fits of teachers",
            unit=Unit.COUNT,
            queries=(
                Query(
                    'sum by (line, outcome) (increase(siad_labeler_fits_total{line=~"$line"}[1d]))',
                    "{{line}} {{outcome}}",
                ),
            ),
            text="In a day, by outcome. declined: the gate found the teacher in service better.",
            empty_until=FIRST_FIT,
        ),
        Panel(
            title="Labelled captures that no run has used",
            unit=Unit.COUNT,
            queries=(Query('siad_trainer_new_captures{line=~"$line"}', "{{line}}/{{product}}"),),
            text="A run starts when there are enough. See SiadLearningStalled.",
            empty_until="the trainer has planned with captures of the line",
        ),
        Panel(
            title="Corrections that no run has used",
            unit=Unit.COUNT,
            queries=(Query('siad_trainer_new_corrections{line=~"$line"}', "{{line}}/{{product}}"),),
            text="Captures that people corrected since the last training set.",
            empty_until="the trainer has planned with captures of the line",
        ),
        Panel(
            title="Training runs",
            unit=Unit.COUNT,
            queries=(
                Query(
                    'sum by (line, outcome) (increase(siad_trainer_runs_total{line=~"$line"}[1d]))',
                    "{{line}} {{outcome}}",
                ),
            ),
            text="In a day, by outcome. refused: what serves is better. See SiadCandidatesRefused.",
            empty_until=FIRST_RUN,
        ),
        Panel(
            title="Duration of a training run",
            unit=Unit.SECONDS,
            queries=(
                Query(
                    "histogram_quantile(0.5, sum by (outcome, le) (increase(siad_trainer_run_seconds_bucket[1d])))",
                    "{{outcome}} median",
                ),
            ),
            text="From freezing the training set to the judgement.",
            empty_until=FIRST_RUN,
        ),
        Panel(
            title="From image to production, 90th percentile",
            unit=Unit.SECONDS,
            queries=(Query('siad:learning_delay:p90_seconds{line=~"$line"}', "{{line}}"),),
            text="From acceptance of the newest capture of a training set to the release of its segmenter.",
            empty_until="a segmenter was released",
        ),
        Panel(
            title="Releases and swaps",
            unit=Unit.COUNT,
            queries=(
                Query('sum by (line) (increase(siad_trainer_releases_total{line=~"$line"}[1d]))', "{{line}} released"),
                Query(
                    'sum by (line, kind) (increase(siad_inference_swaps_total{line=~"$line"}[1d]))',
                    "{{line}} swapped to {{kind}}",
                ),
            ),
            text="Segmenters put in service, and weights that inference replaced, in a day.",
            empty_until="weights were replaced",
        ),
        Panel(
            title="Weights that could not be loaded",
            unit=Unit.COUNT,
            queries=(Query('siad:swap_failures:increase1d{line=~"$line"}', "{{line}} {{kind}} {{fate}}"),),
            text="In a day. The weights before serve on. See SiadWeightsRefused.",
            empty_until="weights could not be loaded",
        ),
        Panel(
            title="Brake of learning",
            unit=Unit.COUNT,
            queries=(Query('siad_labeler_brake_on_info{line=~"$line"}', "{{line}}/{{product}}"),),
            text="1 while images no longer look as they did, and the line learns nothing. See SiadLearningBraked.",
            empty_until="the labeler has planned with its scorer",
        ),
    ),
)
