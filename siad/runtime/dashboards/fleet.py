"""All lines and stages at a glance.

Of panels by line only the ten worst lines are shown, so that a plant of a thousand stays readable.
"""

from typing import Final

from siad.runtime.dashboards.panel import Dashboard, Kind, Panel, Query, Unit

FLEET: Final = Dashboard(
    name="fleet",
    title="SIAD fleet",
    panels=(
        Panel(
            title="Processes that do not answer",
            unit=Unit.COUNT,
            kind=Kind.NUMBER,
            queries=(Query('count(up{job=~".*siad.*"} == 0) or vector(0)', "processes"),),
            text="0 in ordinary work. See SiadStageDown.",
        ),
        Panel(
            title="Alerts",
            unit=Unit.COUNT,
            kind=Kind.NUMBER,
            queries=(Query('count(ALERTS{alertname=~"Siad.*", alertstate="firing"}) or vector(0)', "alerts"),),
            text="Alerts of SIAD that fire now. Each has a page of what to do.",
        ),
        Panel(
            title="Captures past their deadline",
            unit=Unit.COUNT,
            kind=Kind.NUMBER,
            queries=(Query("sum(siad:captures_missing:captures)", "captures"),),
            text="Captures without a verdict past their deadline. 0 in ordinary work. See SiadCapturesMissing.",
        ),
        Panel(
            title="Captures that wait for a verdict",
            unit=Unit.COUNT,
            kind=Kind.NUMBER,
            queries=(Query('sum(siad_books_captures{state="waiting"})', "captures"),),
            text="Captures accepted and not yet judged, by the capture ledger.",
        ),
        Panel(
            title="Images accepted",
            unit=Unit.PER_SECOND,
            queries=(Query("topk(10, sum by (line) (rate(siad_ingest_images_total[5m])))", "{{line}}"),),
            text="Images that ingest stored and announced, of the ten busiest lines.",
        ),
        Panel(
            title="Verdicts",
            unit=Unit.PER_SECOND,
            queries=(Query("sum by (decision) (rate(siad_inference_verdicts_total[5m]))", "{{decision}}"),),
            text="Verdicts of all lines: pass, reject, or the reason for UNKNOWN.",
        ),
        Panel(
            title="Time to the verdict, 95th percentile",
            unit=Unit.SECONDS,
            queries=(Query("topk(10, siad:verdict_latency:p95_seconds)", "{{line}}"),),
            text="From ingest's acceptance to the verdict, of the ten slowest lines. The objective is 5 s for 99%.",
        ),
        Panel(
            title="Verdicts over 5 s",
            unit=Unit.RATIO,
            queries=(Query("topk(10, siad:verdicts_late:ratio_rate5m)", "{{line}}"),),
            text="Share of late verdicts. The budget is 1%. See SiadVerdictsLate.",
        ),
        Panel(
            title="Budget of late verdicts that is left",
            unit=Unit.RATIO,
            queries=(Query("bottomk(10, siad:verdicts_late:budget_left_ratio)", "{{line}}"),),
            text="What is left of the 1% of 30 days, of the ten lines with the least. Below 0 the objective is missed.",
        ),
        Panel(
            title="Rejections against the budget",
            unit=Unit.COUNT,
            queries=(Query("topk(10, siad:reject_budget_burn:ratio_rate1h)", "{{line}}"),),
            text="Rejected parts over the line's false-reject budget. 1 is the budget. See SiadRejectsSurge.",
        ),
        Panel(
            title="Age of the oldest record that waits",
            unit=Unit.SECONDS,
            queries=(Query("siad:lag:seconds", "{{stage}} {{topic}}"),),
            text="How far each stage is behind. Inference counts most. See SiadBehind.",
        ),
        Panel(
            title="Records that wait",
            unit=Unit.COUNT,
            queries=(Query("siad:lag:records", "{{stage}} {{topic}}"),),
            text="Records of each topic that its stage has not completed.",
        ),
        Panel(
            title="Dependencies that fail",
            unit=Unit.COUNT,
            queries=(Query("max by (stage, dependency) (siad_missing_info)", "{{stage}}: {{dependency}}"),),
            text="1 while a stage cannot reach broker, store or another dependency. See SiadStageBlocked.",
            empty_until="a dependency has failed",
        ),
        Panel(
            title="Failures by fate",
            unit=Unit.PER_SECOND,
            queries=(
                Query("sum by (stage, fate) (rate(siad_records_failed_total[5m]))", "{{stage}}: {{fate}}"),
                Query("sum by (reason) (rate(siad_ingest_refused_total[5m]))", "upload refused: {{reason}}"),
            ),
            text="Records that were retried or set aside, and uploads that were refused.",
            empty_until="a record or an upload has failed",
        ),
    ),
)
