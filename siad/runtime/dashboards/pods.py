"""Processes: what they use and where their time goes."""

from typing import Final

from siad.runtime.dashboards.panel import Dashboard, Panel, Query, Unit

PROCESS: Final = "{{instance}}"

PODS: Final = Dashboard(
    name="pods",
    title="SIAD pods",
    panels=(
        Panel(
            title="CPU",
            unit=Unit.COUNT,
            queries=(Query('rate(process_cpu_seconds_total{job=~".*siad.*"}[5m])', PROCESS),),
            text="Cores in use by each process. Ray's processes are not in it.",
        ),
        Panel(
            title="Memory",
            unit=Unit.BYTES,
            queries=(Query('process_resident_memory_bytes{job=~".*siad.*"}', PROCESS),),
            text="Resident memory of each process.",
        ),
        Panel(
            title="Open files",
            unit=Unit.RATIO,
            queries=(Query('process_open_fds{job=~".*siad.*"} / process_max_fds{job=~".*siad.*"}', PROCESS),),
            text="Share of the limit. At 100% connections fail.",
        ),
        Panel(
            title="Series and time of a scrape",
            unit=Unit.COUNT,
            queries=(
                Query('scrape_samples_scraped{job=~".*siad.*"}', f"{PROCESS} series"),
                Query('1000 * scrape_duration_seconds{job=~".*siad.*"}', f"{PROCESS} ms"),
            ),
            text="What the metrics cost, see Cardinality in docs/operate.md.",
        ),
        Panel(
            title="Records in handlers",
            unit=Unit.COUNT,
            queries=(Query('sum by (stage) (siad_records_in_flight{stage=~"$stage"})', "{{stage}}"),),
            text="Records that are handled now.",
        ),
        Panel(
            title="Time in the handler, 95th percentile",
            unit=Unit.SECONDS,
            queries=(
                Query(
                    "histogram_quantile(0.95, sum by (stage, topic, le) "
                    '(rate(siad_handle_seconds_bucket{stage=~"$stage"}[5m])))',
                    "{{stage}} {{topic}}",
                ),
            ),
            text="From calling the handler to its return.",
        ),
        Panel(
            title="Time of a record, 95th percentile",
            unit=Unit.SECONDS,
            queries=(
                Query(
                    "histogram_quantile(0.95, sum by (stage, topic, le) "
                    '(rate(siad_record_seconds_bucket{stage=~"$stage"}[5m])))',
                    "{{stage}} {{topic}}",
                ),
            ),
            text="From fetching a record to the broker's acknowledgement of its results.",
        ),
        Panel(
            title="Records done",
            unit=Unit.PER_SECOND,
            queries=(
                Query(
                    'sum by (stage, topic) (rate(siad_records_done_total{stage=~"$stage"}[5m]))', "{{stage}} {{topic}}"
                ),
            ),
            text="Records whose results the broker acknowledged.",
        ),
        Panel(
            title="HTTP requests",
            unit=Unit.PER_SECOND,
            queries=(
                Query(
                    'sum by (stage, status) (rate(siad_http_seconds_count{stage=~"$stage"}[5m]))',
                    "{{stage}} {{status}}",
                ),
            ),
            text="Requests by status; 503 asks the sender to repeat.",
        ),
        Panel(
            title="Time to accept an image, 95th percentile",
            unit=Unit.SECONDS,
            queries=(
                Query("histogram_quantile(0.95, sum by (le) (rate(siad_ingest_accept_seconds_bucket[5m])))", "ingest"),
            ),
            text="From the last byte of an image to the broker's acknowledgement of its event.",
        ),
        Panel(
            title="Uploads that wait for admission",
            unit=Unit.COUNT,
            queries=(Query("sum(siad_ingest_uploads_waiting)", "uploads"),),
            text="Over 0 for long: ingest or the store is too slow for the cameras.",
        ),
        Panel(
            title="Images scored together",
            unit=Unit.COUNT,
            queries=(
                Query(
                    "sum(rate(siad_inference_batch_images_sum[5m])) / sum(rate(siad_inference_batch_images_count[5m]))",
                    "mean batch",
                ),
            ),
            text="Grows with the load: larger batches score more images a second.",
            empty_until="weights have judged an image",
        ),
        Panel(
            title="Time of a batch, 95th percentile",
            unit=Unit.SECONDS,
            queries=(
                Query("histogram_quantile(0.95, sum by (le) (rate(siad_inference_batch_seconds_bucket[5m])))", "batch"),
            ),
            text="From the start of a batch in the scoring thread to its results.",
            empty_until="weights have judged an image",
        ),
        Panel(
            title="Longest pause of a swap",
            unit=Unit.SECONDS,
            queries=(Query("max(siad_inference_swap_pause_longest_seconds)", "inference"),),
            text="How long batches were held up when weights were replaced, since the process started.",
        ),
    ),
)
