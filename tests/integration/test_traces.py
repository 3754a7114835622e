"""One trace from the camera's request to verdict, pseudo-mask and ledger, at a collector on loopback."""

import asyncio
import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from siad.apps.client import IngestClient
from siad.apps.local.weed import WeedNode
from siad.contracts.codec import decode
from siad.contracts.events import VerdictGiven
from siad.contracts.topics import VERDICT
from siad.runtime.bus.open import open_bus
from tests.e2e.harness import READY_S, wait_for
from tests.fixtures.kafka import quick_settings
from tests.integration.monitoring.stages import STAGES, all_stages, release_teacher, wait_alive
from tests.synthetic import LINE, PRODUCT, bundle, part_image, png
from tests.unit.labeler.test_scorer_client import DRAWN

pytestmark = pytest.mark.slow

Spans = dict[str, list[tuple[str, str, str, str]]]  # trace -> service, name, span, parent


@contextmanager
def servers() -> Iterator[tuple[str, Spans, list[dict[str, str]]]]:
    """A collector and a scorer that draws the same mask for everything; their address, what they got."""
    received: Spans = defaultdict(list)
    drawn: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._respond(b"{}")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.path == "/draw":
                drawn.append({"capture_id": json.loads(body)["capture_id"], "traceparent": self.headers["traceparent"]})
                self._respond(json.dumps(DRAWN).encode())
                return
            if self.headers.get("content-encoding") is None and self.path == "/v1/traces":
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    (service,) = [
                        one.value.string_value for one in resource.resource.attributes if one.key == "service.name"
                    ]
                    for span in (span for scope in resource.scope_spans for span in scope.spans):
                        received[span.trace_id.hex()].append(
                            (service, span.name, span.span_id.hex(), span.parent_span_id.hex())
                        )
            self._respond(b"")

        def _respond(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", received, drawn
    finally:
        server.shutdown()
        server.server_close()


async def test_one_trace_leads_from_the_request_to_verdict_mask_and_ledger(
    own_weed_node: WeedNode, tmp_path: Path
) -> None:
    with servers() as (url, received, drawn):
        extra = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_BSP_SCHEDULE_DELAY": "200"}
        async with all_stages(tmp_path, own_weed_node, scorer_url=url, extra=extra) as plant:
            await release_teacher(plant, own_weed_node)
            for name in STAGES:
                await wait_alive(plant[name])
            async with IngestClient(plant["ingest"].url) as client:
                await client.put_line(LINE, {"product": PRODUCT})

                async def are_serving() -> bool:
                    serving = await plant["inference"].get("/v1/weights"), await plant["labeler"].get("/v1/teachers")
                    return all(bundle().manifest.weights in one.text for one in serving)

                await wait_for(are_serving, READY_S, "the teacher to serve", on_fail=plant["labeler"].tail)
                accepted = await client.send_image(png(part_image(1)), line=LINE)
            async with open_bus(quick_settings(plant.env["SIAD_BUS_BOOTSTRAP"])).consumer(
                [VERDICT.name], group="test", start="earliest"
            ) as consumer:
                verdicts: list[VerdictGiven] = []
                while not verdicts:
                    verdicts = [
                        decode(VerdictGiven, one.value) for one in await consumer.poll(max_records=10, timeout_s=1.0)
                    ]
            trace_id = verdicts[0].trace_id
            wanted = {
                ("siad-ingest", "POST /v1/lines/{line}/images"),
                ("siad-inference", "handle siad.image.v1"),
                ("siad-inference", "fetch and decode image"),
                ("siad-inference", "score"),
                ("siad-labeler", "handle siad.image.v1"),
                ("siad-labeler", "scorer /draw"),
                ("siad-trainer", "handle siad.pseudo-mask.v1"),
            }

            async def is_complete() -> bool:
                return wanted <= {(service, name) for service, name, *_ in received[trace_id]}

            await wait_for(is_complete, 60, "every span", on_fail=lambda: str(received[trace_id]))
            assert verdicts[0].capture_id == accepted["capture_id"]
            asked = [one for one in drawn if one["capture_id"] == accepted["capture_id"]]
            assert asked[0]["traceparent"].split("-")[1] == trace_id
            by_id = {span: (service, name) for service, name, span, _ in received[trace_id]}
            parents = {(service, name): by_id.get(parent) for service, name, _, parent in received[trace_id]}
            request = ("siad-ingest", "POST /v1/lines/{line}/images")
            assert parents["siad-inference", "handle siad.image.v1"] == request
            assert parents["siad-labeler", "handle siad.image.v1"] == request
            assert parents["siad-inference", "score"] == ("siad-inference", "handle siad.image.v1")
            assert parents["siad-trainer", "handle siad.pseudo-mask.v1"] == ("siad-labeler", "handle siad.image.v1")
            assert [one["trace_id"] for one in plant["inference"].logged("judged")] == [trace_id]
            openmetrics = await scrape_openmetrics(plant["inference"].url)
            assert f'# {{trace_id="{trace_id}"}}' in openmetrics
            assert "_created" not in openmetrics


async def scrape_openmetrics(url: str) -> str:
    import httpx

    async with httpx.AsyncClient() as http:
        answer = await http.get(f"{url}/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    await asyncio.sleep(0)
    return answer.text
