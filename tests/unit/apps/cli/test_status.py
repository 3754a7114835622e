"""Status of a stage, read from its probe and metrics."""

import httpx

from siad.apps.local.stage_status import by_label, describe_missing_weights, read_stage, serving_weights, total
from siad.contracts.place import Place

METRICS = """\
# TYPE siad_records_received_total counter
siad_records_received_total{stage="inference",topic="siad.image.v1"} 12
siad_records_received_total{stage="inference",topic="siad.line.v1"} 3
# TYPE siad_records_failed_total counter
siad_records_failed_total{stage="inference",topic="siad.image.v1",fate="poison"} 2
siad_records_failed_total{stage="inference",topic="siad.image.v1",fate="transient"} 5
# TYPE siad_weights_info gauge
siad_weights_info{stage="inference",line="l",product="p",kind="teacher",weights="abc"} 1
"""


def test_a_metric_is_summed_over_its_series() -> None:
    assert total(METRICS, "siad_records_received_total") == 15
    assert total(METRICS, "siad_nowhere_total") == 0


def test_failures_are_told_by_fate() -> None:
    assert by_label(METRICS, "siad_records_failed_total", "fate") == {"poison": 2, "transient": 5}


def test_weights_in_service_are_named_with_their_line() -> None:
    (serving,) = serving_weights(METRICS)
    assert (serving.line, serving.product, serving.kind, serving.weights) == ("l", "p", "teacher", "abc")


def test_images_sent_before_weights_serve_are_reported_as_unknown() -> None:
    (serving,) = serving_weights(METRICS)
    served, other = Place(serving.line, serving.product), Place("line-without", "cap")
    (said,) = describe_missing_weights(METRICS, [served, other])
    assert "no weights serve line line-without, product cap" in said
    assert "unknown" in said
    assert describe_missing_weights("", [other]) == []


def test_a_stage_that_does_not_answer_is_not_ready() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with httpx.Client(transport=httpx.MockTransport(refuse)) as client:
        stage = read_stage(client, "ingest", "http://127.0.0.1:1")
    assert not stage.ready
    assert "does not respond" in stage.missing


def test_a_stage_says_what_keeps_it_from_being_ready() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/readyz":
            return httpx.Response(503, text="broker away")
        return httpx.Response(200, text=METRICS)

    with httpx.Client(transport=httpx.MockTransport(answer)) as client:
        stage = read_stage(client, "inference", "http://127.0.0.1:1")
    assert (stage.ready, stage.missing, stage.received) == (False, "broker away", 15)
