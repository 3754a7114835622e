"""Series of each stage by lines: ``python -m benchmarks.cardinality``.

Also their memory, and the time of a scrape. The collectors of a stage are filled for so many lines, in a process of its
own, once with every value that each label can have (the bound), once with the values of ordinary work. Then the process
is scraped as Prometheus does it. A label of a metric by line whose values are not listed here is an error.
"""

import argparse
import itertools
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.openmetrics.exposition import generate_latest

from docs.generator.metrics import collectors
from services.inference.domain.judge import UnknownReason
from services.inference.domain.load_failures import FailureKind
from siad.audit.keeper import STATES
from siad.contracts.corrections import CorrectionVerdict
from siad.contracts.drift import DriftCause
from siad.contracts.events import Intent, WeightsKind
from siad.contracts.normals_profile import MisfitReason
from siad.contracts.training_runs import RunOutcome
from siad.contracts.trials import TrialOutcome

MODULES: Final[Mapping[str, Sequence[str]]] = {
    stage: ["siad.runtime.metrics", f"services.{stage}.metrics"]
    for stage in ("ingest", "labeler", "console", "trainer", "inference")
} | {"ingest": ["siad.runtime.metrics", "siad.erasure.metrics", "services.ingest.metrics"]}
DECISIONS: Final = ("pass", "reject", *(reason.value for reason in UnknownReason))
KINDS: Final = tuple(kind.value for kind in WeightsKind if kind is not WeightsKind.UNSPECIFIED)
# Values of a label, in general or of one metric. A line has one product at a time, and one set of weights in service.
VALUES: Final[Mapping[str, Sequence[str]]] = {
    "stage": ("one",),
    "product": ("cap",),
    "weights": ("0" * 64,),
    "intent": tuple(intent.value for intent in Intent if intent is not Intent.UNSPECIFIED),
    "decision": DECISIONS,
    "siad_console_corrections.decision": tuple(
        one.value for one in CorrectionVerdict if one is not CorrectionVerdict.UNSPECIFIED
    ),
    "cause": tuple(cause.value for cause in DriftCause),
    "kind": KINDS,
    "siad_weights_info.kind": KINDS[:1],
    "siad_console_false_reject_ratio.kind": ("estimated", "low", "high"),
    "siad_console_recall_ratio.kind": ("estimated", "low", "high"),
    "siad_ingest_expired.kind": ("masks", "images", "corrections", "captures"),
    "fate": tuple(kind.value for kind in FailureKind),
    "state": STATES,
    "siad_labeler_brakes.state": ("on", "off"),
    "reason": tuple(reason.value for reason in MisfitReason),
    "defects": ("clear", "faint"),
    "bound": ("estimate", "low", "high"),
    "siad_inference_probes.outcome": ("found", "missed", "dropped"),
    "siad_inference_shadows.outcome": (
        *("judged", "over-budget", "busy", "late", "no-weights", "misfit", "unpublished", "failed"),
    ),
    "siad_trainer_trials.outcome": tuple(outcome.value for outcome in TrialOutcome),
    "siad_trainer_trial_captures.kind": ("pairs", "extra", "fewer", "kept", "lost"),
    "outcome": tuple(outcome.value for outcome in RunOutcome),
    "siad_labeler_fits.outcome": ("released", "unchanged", "declined", "refused"),
}
# Metrics by line that ordinary work leaves without series, or with fewer values than it could have.
RARE: Final = frozenset(
    (
        "siad_line_quarantined",
        "siad_ingest_expired",
        "siad_inference_dark",
        "siad_inference_direct",
        "siad_inference_load_failures",
        "siad_labeler_brakes",
        "siad_labeler_misfits",
        "siad_inference_shadow_cpu_seconds",
        "siad_inference_shadows",
        "siad_trainer_trial_captures",
        "siad_trainer_trials",
    )
)
ORDINARY: Final[Mapping[str, Sequence[str]]] = {
    "decision": ("pass", "reject"),
    "siad_labeler_fits.outcome": ("released", "declined"),
    "outcome": ("accepted", "refused"),
}
STAGES_WITHOUT: Final[Mapping[str, frozenset[str]]] = {  # metrics of every stage that only some of them fill by line
    "siad_books_captures": frozenset(("ingest",)),
    "siad_weights_info": frozenset(("inference",)),
    "siad_line_quarantined": frozenset(("labeler", "trainer", "inference")),
}


def fill(stage: str, lines: int, *, is_bound: bool) -> None:
    """Give every metric by line its series."""
    for one in metrics_by_line(stage):
        if not is_bound and one._name in RARE:  # noqa: SLF001
            continue
        for number in range(lines):
            for values in itertools.product(*(values_of(one, label, is_bound=is_bound) for label in one._labelnames)):  # noqa: SLF001
                named: dict[str, Any] = dict(zip(one._labelnames, values, strict=True))  # noqa: SLF001
                one.labels(**(named | {"line": f"line-{number:04}"}))


def metrics_by_line(stage: str) -> list[MetricWrapperBase]:
    """Collectors of a stage whose series grow with the lines."""
    found = [one for module in MODULES[stage] for one in collectors(module) if "line" in one._labelnames]  # noqa: SLF001
    return [one for one in found if stage in STAGES_WITHOUT.get(one._name, {stage})]  # noqa: SLF001


def values_of(one: MetricWrapperBase, label: str, *, is_bound: bool) -> Sequence[str]:
    """Values of a label of a metric.

    Raises:
        KeyError: they are not listed.
    """
    if label == "line":
        return ("",)
    names = (f"{one._name}.{label}", label)  # noqa: SLF001
    if not is_bound:
        for name in names:
            if name in ORDINARY:
                return ORDINARY[name]
            if name in VALUES:
                break
    return next((VALUES[name] for name in names if name in VALUES), None) or VALUES[label]


def measure(stage: str, lines: int, *, is_bound: bool) -> dict[str, float]:
    """Fill and scrape; return series of a line, memory and time."""
    metrics_by_line(stage)  # its modules add series without lines
    before = count(scrape())
    base_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    fill(stage, lines, is_bound=is_bound)
    filled_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    times = []
    for _ in range(5):
        began_s = time.process_time()
        text = scrape()
        times.append(time.process_time() - began_s)
    return {
        "series_per_line": (count(text) - before) / lines,
        "memory_mb": (filled_kb - base_kb) / 1024,
        "scrape_s": statistics.median(times),
        "scrape_mb": len(text) / 2**20,
    }


def scrape() -> bytes:
    """Write all metrics as Prometheus asks for them."""
    text: bytes = generate_latest(REGISTRY)  # type: ignore[no-untyped-call]
    return text


def count(text: bytes) -> int:
    """Count the series of a scrape."""
    return sum(1 for line in text.splitlines() if line and not line.startswith(b"#"))


def run(stage: str, lines: int, *, is_bound: bool) -> dict[str, float]:
    """Measure in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.cardinality", "--stage", stage, "--lines", str(lines)]
    done = subprocess.run([*command, *(["--bound"] if is_bound else [])], capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    """Print the table of ``docs/operate.md``, or the figures of one stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", choices=MODULES)
    parser.add_argument("--lines", type=int, default=1000)
    parser.add_argument("--bound", action="store_true")
    asked = parser.parse_args()
    if asked.stage:
        print(json.dumps(measure(asked.stage, asked.lines, is_bound=asked.bound)))
        return
    print(f"| stage | series of a line | at most | {asked.lines} lines: memory | text | CPU of a scrape |")
    print("|---|---|---|---|---|---|")
    for stage in MODULES:
        usual, most = (run(stage, asked.lines, is_bound=bound) for bound in (False, True))
        print(
            f"| {stage} | {usual['series_per_line']:.0f} | {most['series_per_line']:.0f} | {usual['memory_mb']:.0f} MB "
            f"| {usual['scrape_mb']:.1f} MB | {usual['scrape_s']:.2f} s |"
        )


if __name__ == "__main__":
    main()
