"""Metrics that only inference has."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from siad.runtime.metrics import SECONDS

VERDICTS: Final = Counter(
    "siad_inference_verdicts_total",
    "Verdicts acknowledged by the broker. decision: pass, reject, or the reason for UNKNOWN.",
    ["line", "decision"],
)
VERDICT_SECONDS: Final = Histogram(
    "siad_inference_verdict_seconds",
    "From ingest's acceptance of a capture to the broker's acknowledgement of its verdict.",
    ["line"],
    buckets=SECONDS,
)
DIRECT: Final = Counter(
    "siad_inference_direct_total",
    "Images judged by direct requests, outside the stream. decision: pass, reject, or the reason for UNKNOWN.",
    ["line", "decision"],
)
DARK: Final = Counter(
    "siad_inference_dark_total",
    "Images judged though their brightest value is under a quarter of that of every normal; the log has the values.",
    ["line"],
)
DRIFT_RATIO: Final = Gauge(
    "siad_inference_drift_ratio",
    "Evidence for a drift of a line's images, as a share of the bound. cause: focus, light, shift, dirt, product or "
    "process.",
    ["line", "product", "cause"],
)
DRIFT: Final = Gauge(
    "siad_inference_drift_info",
    "1 while the images of a line drift, by the cause named; see siad drift LINE.",
    ["line", "product", "cause"],
)
PROBE_RECALL: Final = Gauge(
    "siad_inference_probe_recall_ratio",
    "Share of synthetic defects in copies of passed captures that the weights in service find, of the newest 200. "
    "defects: clear, or faint (small ones too). bound: estimate, or an end of its 90% interval (low, high). It is no "
    "share of real defects, which have other sizes and contrasts.",
    ["line", "product", "defects", "bound"],
)
PROBES: Final = Counter(
    "siad_inference_probes_total",
    "Copies of passed captures with a synthetic defect, judged beside the stream and published nowhere. outcome: "
    "found, missed, or dropped (captures were under way, or the weights changed).",
    ["line", "outcome"],
)
SHADOWS: Final = Counter(
    "siad_inference_shadows_total",
    "Captures offered to the other weights of a trial. outcome: judged (published on siad.shadow.v1), over-budget, "
    "busy (too many waited), late (the trial went on), no-weights (no room, or they can't be loaded), misfit, "
    "unpublished or failed.",
    ["line", "outcome"],
)
SHADOW_CPU: Final = Counter(
    "siad_inference_shadow_cpu_seconds_total", "CPU time of second judgements, in their own thread.", ["line"]
)
BATCH_IMAGES: Final = Histogram("siad_inference_batch_images", "Images scored together.", buckets=(1, 2, 4, 8, 16, 32))
BATCH_SECONDS: Final = Histogram(
    "siad_inference_batch_seconds", "From the start of a batch in the scoring thread to its results.", buckets=SECONDS
)
SWAPS: Final = Counter(
    "siad_inference_swaps_total", "Weights replaced by other weights, by the kind of the new ones.", ["line", "kind"]
)
SWAP_PAUSE_SECONDS: Final = Histogram(
    "siad_inference_swap_pause_seconds",
    "From holding up the batches for a swap to releasing them.",
    buckets=(0.000_01, 0.000_03, 0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1),
)
SWAP_PAUSE_LONGEST_SECONDS: Final = Gauge(
    "siad_inference_swap_pause_longest_seconds", "Longest swap pause since the process started."
)
LOAD_SECONDS: Final = Histogram(
    "siad_inference_load_seconds",
    "From requesting weights from the store to passing their golden check, while others serve.",
    ["kind"],
    buckets=SECONDS,
)
LOAD_FAILURES: Final = Counter(
    "siad_inference_load_failures_total",
    "Failed attempts to load weights; the serving weights stay in service. refused: damaged, of another version, or "
    "missing their golden outputs; retried after minutes or by a newer revision. transient: store unavailable, access "
    "denied or out of memory; retried within seconds. bug: an unexpected error, see the log; retried within a minute.",
    ["line", "kind", "fate"],
)
WEIGHTS_LOOKUPS: Final = Counter(
    "siad_inference_weights_lookups_total",
    "Lookups of weights by batches and loads. hit: in memory; first: loaded for the first time in this process; "
    "reload: loaded again after they had made room; evicted: made room. The hit rate is hit / (hit + first + reload).",
    ["fate"],
)
WEIGHTS_BYTES: Final = Gauge("siad_inference_weights_bytes", "Memory of the weights in memory, as estimated.")
SPOOLED: Final = Gauge(
    "siad_inference_spooled_captures",
    "Captures whose verdict is on the local disk, not yet acknowledged by the broker.",
)
SPOOL_RATIO: Final = Gauge(
    "siad_inference_spool_ratio",
    "Share of SIAD_INFERENCE_SPOOL_MAX in use; at 1 no more captures are judged until the broker is back.",
)
WEIGHTS_CACHE: Final = Counter(
    "siad_inference_weights_cache_total",
    "Files of weights looked up on the local disk. hit: read there; miss: read from the store; damaged: dropped, and "
    "read from the store; failed: the disk refused a read or write, see the log.",
    ["fate"],
)
KNOWN_STATE_SECONDS: Final = Gauge(
    "siad_inference_known_state_seconds",
    "Age of the releases, settings and thresholds by which images are judged while broker or store is away; 0 while "
    "both answer.",
)
