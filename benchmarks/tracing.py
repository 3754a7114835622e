"""Cost of traces in inference: ``python -m benchmarks.tracing FOLDER``, a folder of good images.

The whole stage on a bus and a store in memory, with a default teacher of ten images, judges the same captures by turns:
without traces, with every trace exported to a collector on loopback, and with a tenth. Figures are medians of rounds;
ratios are of the CPU time of the process, since other work on the machine moves wall time by more than traces do. The
last line is the time of one span.
"""

import argparse
import asyncio
import statistics
import threading
import time
from contextlib import closing, nullcontext
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import structlog

from siad.contracts.fit_settings import FitSettings
from siad.contracts.place import Place
from siad.models.bundle import Bundle
from siad.models.runner.open import limit_threads
from siad.models.teachers.fit import fit_teacher
from siad.models.teachers.normals import Normals
from siad.runtime import spans
from siad.runtime.otlp import OtlpSink, configure_traces
from siad.runtime.spans import SpanKind
from siad.runtime.trace import TraceSpan
from siad.vision.images import decode_image
from tests.integration.inference_plant import TOPICS, Plant
from tests.synthetic import LINE, PRODUCT

CAPTURES, SPANS = 40, 20_000


class _Collector(BaseHTTPRequestHandler):
    """Takes what is sent and keeps nothing."""

    def do_POST(self) -> None:
        """Answer 200."""
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def main() -> None:
    """Fit, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    asked = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("error"))
    limit_threads(1)
    paths = sorted(asked.folder.iterdir())
    normals = [decode_image(path.read_bytes()) for path in paths[:10]]
    named = [f"{index:032x}" for index in range(len(normals))]
    teacher = fit_teacher(
        Normals.ordered(normals, named, Place(LINE, PRODUCT)),
        FitSettings(false_reject_budget=0.1, method="feature-memory"),
    )
    files = [path.read_bytes() for path in paths[10 : 10 + CAPTURES]]
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    asyncio.run(compare(teacher, files, rounds=asked.rounds, url=f"http://127.0.0.1:{server.server_port}"))


async def compare(teacher: Bundle, files: list[bytes], *, rounds: int, url: str) -> None:
    """Judge the files by turns, and print medians."""
    plant = Plant()
    await plant.bus.create_topics(TOPICS)
    await plant.make_line()
    await plant.release(teacher)
    cases: dict[str, float | None] = {"without": None, "every trace": 1.0, "a tenth": 0.1}
    wall: dict[str, list[float]] = {name: [] for name in cases}
    cpu: dict[str, list[float]] = {name: [] for name in cases}
    async with plant.running():
        await judge_all(plant, files)  # warm
        for number in range(rounds):
            names = list(cases)[number % 3 :] + list(cases)[: number % 3]
            for name in names:
                sink = start(cases[name], url)
                with nullcontext() if sink is None else closing(sink):
                    wall_s, cpu_s = await judge_all(plant, files)
                wall[name].append(wall_s / len(files))
                cpu[name].append(cpu_s / len(files))
    for name in cases:
        ratio = statistics.median(one / base for one, base in zip(cpu[name], cpu["without"], strict=True))
        print(
            f"{name}: {1000 * statistics.median(wall[name]):.2f} ms a capture, "
            f"{1000 * statistics.median(cpu[name]):.2f} ms of CPU, ratio of CPU {ratio:.3f}"
        )
    print_span(url)


def start(ratio: float | None, url: str) -> OtlpSink | None:
    """Export a share of the traces; None: none."""
    if ratio is None:
        return None
    import os

    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = url  # read by the exporter itself
    return configure_traces("inference", {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_TRACES_SAMPLER_ARG": str(ratio)})


async def judge_all(plant: Plant, files: list[bytes]) -> tuple[float, float]:
    """Return seconds of wall and CPU until all are judged."""
    began_s, cpu_s = time.perf_counter(), time.process_time()
    captures = [await plant.capture(data) for data in files]
    while not set(captures) <= plant.verdicts().keys():
        await asyncio.sleep(0.02)
    return time.perf_counter() - began_s, time.process_time() - cpu_s


def print_span(url: str) -> None:
    """Measure one span, exported and not."""
    for name, ratio in (("without", None), ("exported", 1.0)):
        sink = start(ratio, url)
        span = TraceSpan.root()
        began_s = time.process_time()
        for _ in range(SPANS):
            with spans.measured(replace(span), "x", SpanKind.INTERNAL):
                pass
        print(f"a span, {name}: {1e6 * (time.process_time() - began_s) / SPANS:.1f} us of CPU")
        if sink is not None:
            sink.close()


if __name__ == "__main__":
    main()
