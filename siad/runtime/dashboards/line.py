"""One line: its captures, its verdicts, its estimates."""

from typing import Final

from siad.runtime.dashboards.panel import Dashboard, Kind, Panel, Query, Unit


def _latency(quantile: float) -> Query:
    buckets = 'sum by (line, le) (rate(siad_inference_verdict_seconds_bucket{line=~"$line"}[5m]))'
    return Query(f"histogram_quantile({quantile:g}, {buckets})", f"{{{{line}}}} p{quantile * 100:g}")


PRODUCT: Final = "{{line}}/{{product}} {{kind}}"

BY_LINE: Final = Dashboard(
    name="line",
    title="SIAD line",
    panels=(
        Panel(
            title="Captures",
            unit=Unit.COUNT,
            kind=Kind.NUMBER,
            queries=(Query('max by (line, state) (siad_books_captures{line=~"$line"})', "{{line}} {{state}}"),),
            text="By the capture ledger: received = verdict + waiting + dead_letter; missing is part of waiting.",
        ),
        Panel(
            title="Weights in service",
            unit=Unit.COUNT,
            kind=Kind.NUMBER,
            queries=(
                Query('max by (line, product, kind) (siad_weights_info{stage="inference", line=~"$line"})', PRODUCT),
            ),
            text="1 for the kind that judges each product: teacher or segmenter.",
            empty_until="weights serve the line",
        ),
        Panel(
            title="Images accepted",
            unit=Unit.PER_SECOND,
            queries=(
                Query(
                    'sum by (line, intent) (rate(siad_ingest_images_total{line=~"$line"}[5m]))', "{{line}} {{intent}}"
                ),
            ),
            text="Images that ingest stored and announced, by what they were sent for.",
        ),
        Panel(
            title="Verdicts",
            unit=Unit.PER_SECOND,
            queries=(
                Query(
                    'sum by (line, decision) (rate(siad_inference_verdicts_total{line=~"$line"}[5m]))',
                    "{{line}} {{decision}}",
                ),
            ),
            text="pass, reject, or the reason for UNKNOWN: such a part was not judged.",
        ),
        Panel(
            title="Time to the verdict",
            unit=Unit.SECONDS,
            queries=(_latency(0.5), _latency(0.95), _latency(0.99)),
            text="From ingest's acceptance to the broker's acknowledgement of the verdict.",
        ),
        Panel(
            title="Share of rejected parts",
            unit=Unit.RATIO,
            queries=(
                Query('siad:rejects:ratio_rate1h{line=~"$line"}', "{{line}} rejected"),
                Query('max by (line) (siad_console_false_reject_budget_ratio{line=~"$line"})', "{{line}} budget"),
            ),
            text="Rejected of all judged parts in an hour, beside the false-reject budget. Bad parts count too.",
        ),
        Panel(
            title="Good parts rejected, by answers of people",
            unit=Unit.RATIO,
            queries=(Query('siad_console_false_reject_ratio{line=~"$line"}', PRODUCT),),
            text="Estimate and its bounds (90%), from answers to captures drawn at random.",
            empty_until="a person has answered a capture drawn at random",
        ),
        Panel(
            title="Defective parts found, by answers of people",
            unit=Unit.RATIO,
            queries=(Query('siad_console_recall_ratio{line=~"$line"}', PRODUCT),),
            text="Estimate and its bounds (90%). The objective is 90%. See SiadRecallLow.",
            empty_until="a person has answered a capture drawn at random",
        ),
        Panel(
            title="Evidence for drift",
            unit=Unit.RATIO,
            queries=(
                Query(
                    'max by (line, product, cause) (siad_inference_drift_ratio{line=~"$line"})',
                    "{{line}}/{{product}} {{cause}}",
                ),
            ),
            text="Share of the bound. From 100% on the strongest cause is named: siad drift LINE.",
            empty_until="weights have judged an image",
        ),
        Panel(
            title="Images unlike the normals",
            unit=Unit.PER_SECOND,
            queries=(
                Query('sum by (line) (rate(siad_inference_dark_total{line=~"$line"}[5m]))', "{{line}} dark"),
                Query(
                    'sum by (line, reason) (rate(siad_labeler_misfits_total{line=~"$line"}[5m]))', "{{line}} {{reason}}"
                ),
            ),
            text="Dark images, and images of another size, channels or depth.",
            empty_until="such an image came",
        ),
        Panel(
            title="Captures that wait for a person",
            unit=Unit.COUNT,
            queries=(Query('siad_console_review_debt_captures{line=~"$line"}', "{{line}}/{{product}}"),),
            text="Captures near the threshold without an answer. See SiadReviewDebt.",
            empty_until="captures were judged near the threshold",
        ),
        Panel(
            title="Answers of people",
            unit=Unit.PER_SECOND,
            queries=(
                Query(
                    'sum by (line, decision) (rate(siad_console_corrections_total{line=~"$line"}[1h]))',
                    "{{line}} {{decision}}",
                ),
            ),
            text="Corrections stored and published, by what the person said.",
            empty_until="a person has answered",
        ),
    ),
)
