"""The scorer's responses over HTTP and the outcome of each: a mask, poison, a bug, denied, or transient."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import httpx
import pytest
from prometheus_client import REGISTRY

from services.labeler.adapters.scorer_client import ScorerClient
from services.labeler.ports import FitOrder, FitRefusedError, FittedTeacher, ScorerBugError
from services.labeler.scorer_api import ACCESS_DENIED, DRAW_FAILED, FIT_REFUSED, IMAGE_REFUSED, MISFIT, UNAVAILABLE
from siad.contracts.errors import DeniedError, PoisonError, TransientError
from siad.contracts.events import Region
from siad.contracts.fit_settings import FitSettings
from siad.contracts.normals_profile import MisfitReason
from siad.runtime import trace
from siad.vision.plausibility import Misfit, MisfitError
from tests.thresholds import FixedThresholds, make_threshold_set
from tests.unit.labeler.world import LINE, PLACE, PRODUCT, capture, weights_of

W = weights_of(1)
SETTINGS = FitSettings(false_reject_budget=0.05)
DRAWN: dict[str, Any] = {
    "mask_uri": "s3://siad/masks/m.png",
    "mask_sha256": "b" * 64,
    "score": 3.5,
    "threshold": 2.0,
    "defect_ratio": 0.25,
    "regions": [{"points": [0, 0, 4, 0, 4, 4], "area_px": 9, "peak_score": 3.5}],
    "confidence": 0.5,
    "image_hash": "c" * 64,
}
Answer = Callable[[httpx.Request], httpx.Response]


def scorer(answer: Answer) -> ScorerClient:
    client = httpx.AsyncClient(base_url="http://scorer", transport=httpx.MockTransport(answer))
    return ScorerClient(client, FixedThresholds(), timeout_s=7.0, fit_timeout_s=70.0)


def always(status: int, *, text: str = "", **body: Any) -> Answer:
    return lambda request: httpx.Response(status, json=body) if body else httpx.Response(status, text=text)


def fails(error: Exception) -> Answer:
    def answer(request: httpx.Request) -> httpx.Response:
        raise error

    return answer


async def test_a_mask_is_asked_for_by_reference_and_read_back_whole() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=DRAWN)

    event = capture(1)
    token = trace.CURRENT.set(trace.TraceSpan("a" * 32, "b" * 16))
    try:
        drawn = await scorer(answer).draw(event, weights=W)
    finally:
        trace.CURRENT.reset(token)
    assert drawn.regions == (Region(points=(0, 0, 4, 0, 4, 4), area_px=9, peak_score=3.5),)
    assert asdict(drawn) | {"regions": None} == DRAWN | {"regions": None}
    [request] = seen
    said = {name: getattr(event, name) for name in ("capture_id", "image_id", "image_uri", "line", "product")}
    unset = {"image_threshold": None, "threshold_revision": 0}
    assert json.loads(request.content) == said | {"weights": W, "sizes": "normals"} | unset
    assert (request.url.path, request.headers["traceparent"]) == ("/draw", f"00-{'a' * 32}-{'b' * 16}-01")
    assert request.extensions["timeout"]["read"] == 7.0


async def test_a_mask_is_asked_for_at_the_threshold_set_for_exactly_these_weights() -> None:
    seen: list[dict[str, Any]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(json.loads(request.content))
        return httpx.Response(200, json=DRAWN)

    thresholds = FixedThresholds({W: make_threshold_set(W, image_threshold=2.5, revision=4)})
    client = httpx.AsyncClient(base_url="http://scorer", transport=httpx.MockTransport(answer))
    one = ScorerClient(client, thresholds, timeout_s=7.0, fit_timeout_s=70.0)
    await one.draw(capture(1), weights=W)
    await one.draw(capture(1), weights=weights_of(2))
    assert [(asked["image_threshold"], asked["threshold_revision"]) for asked in seen] == [(2.5, 4), (None, 0)]


async def test_what_a_newer_scorer_says_beside_it_is_ignored() -> None:
    assert (await scorer(always(200, **DRAWN, mood="good")).draw(capture(1), weights=W)).score == 3.5


async def test_an_image_that_the_scorer_refuses_is_poison() -> None:
    answer = always(422, type=IMAGE_REFUSED, detail="it is no image")
    with pytest.raises(PoisonError, match="it is no image"):
        await scorer(answer).draw(capture(1), weights=W)


async def test_an_image_that_does_not_fit_the_normals_is_a_misfit_with_its_reason() -> None:
    answer, before = always(422, type=MISFIT, detail="the image has 1x1 px", reason="size"), misfits("size")
    with pytest.raises(MisfitError, match=r"the image has 1x1 px; not scored \(reason: size\)") as found:
        await scorer(answer).draw(capture(1), weights=W)
    assert found.value.misfit == Misfit(MisfitReason.SIZE, "the image has 1x1 px")
    assert misfits("size") == before + 1


def misfits(reason: str) -> float:
    return REGISTRY.get_sample_value("siad_labeler_misfits_total", {"line": LINE, "reason": reason}) or 0.0


async def test_a_misfit_for_a_reason_of_a_newer_scorer_is_transient() -> None:
    with pytest.raises(TransientError, match="smells"):
        await scorer(always(422, type=MISFIT, detail="smells", reason="smell")).draw(capture(1), weights=W)


async def test_a_capture_that_the_network_falls_over_is_a_bug() -> None:
    answer = always(500, type=DRAW_FAILED, detail="division by zero")
    with pytest.raises(ScorerBugError, match="division by zero"):
        await scorer(answer).draw(capture(1), weights=W)


TROUBLES: dict[str, Answer] = {
    "no replica": always(503, text="no replica"),
    "a refusal cut short": always(422, text='{"type": "urn:siad:image-refused", "det'),
    "a bug outside our code": always(500, text="Internal Server Error"),
    "an old application": always(404, text="no such route"),
    "a refusal by a proxy": always(422, text="bad gateway, bad manners"),
    "too many": always(429, text="slow down"),
    "refused connection": fails(httpx.ConnectError("refused")),
    "cut off": fails(httpx.RemoteProtocolError("peer closed")),
    "too slow to connect": fails(httpx.ConnectTimeout("slow")),
    "too slow to answer": fails(httpx.ReadTimeout("slow")),
    "no free connection": fails(httpx.PoolTimeout("slow")),
}


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_every_trouble_but_a_refusal_may_pass(trouble: str) -> None:
    there = scorer(TROUBLES[trouble])
    with pytest.raises(TransientError, match="http://scorer"):
        await there.draw(capture(1), weights=W)
    with pytest.raises(TransientError, match="http://scorer"):
        await there.fit(PLACE, FitOrder(normals=[capture(2)], settings=SETTINGS))
    with pytest.raises(TransientError, match="http://scorer"):
        await there.probe()


UNEXPECTED: dict[str, Answer] = {
    "a proxy's page": always(200, text="<html>Welcome</html>"),
    "no object": lambda request: httpx.Response(200, json=[1, 2]),
    "no body": lambda request: httpx.Response(204),
    "an older scorer": lambda request: httpx.Response(200, json={"score": 3.5}),
    "a score that is no number": always(200, text=json.dumps({**DRAWN, "score": float("nan")})),
    "regions of another type": always(200, **{**DRAWN, "regions": 3}),
    "a region of two points": always(200, **{**DRAWN, "regions": [{**DRAWN["regions"][0], "points": [0, 0, 4, 4]}]}),
}


@pytest.mark.parametrize("response", UNEXPECTED)
async def test_a_result_that_no_scorer_of_this_version_gives_is_transient(response: str) -> None:
    client = scorer(UNEXPECTED[response])
    with pytest.raises(TransientError, match="http://scorer/draw is not one of this version's scorer"):
        await client.draw(capture(1), weights=W)
    with pytest.raises(TransientError, match="http://scorer/fit is not one of this version's scorer"):
        await client.fit(PLACE, FitOrder(normals=[capture(2)], settings=SETTINGS))


async def test_a_store_that_denies_access_to_the_scorer_is_denied_not_poison() -> None:
    client = scorer(always(503, type=ACCESS_DENIED, detail="could not read s3://siad/images/x: 403"))
    with pytest.raises(DeniedError, match="could not read s3://siad/images/x: 403"):
        await client.draw(capture(1), weights=W)
    with pytest.raises(DeniedError, match="could not read s3://siad/images/x: 403"):
        await client.fit(PLACE, FitOrder(normals=[capture(2)], settings=SETTINGS))


@pytest.mark.parametrize("problem", [FIT_REFUSED, UNAVAILABLE, "urn:siad:of-a-newer-scorer"])
async def test_a_problem_that_is_none_of_a_draw_is_transient(problem: str) -> None:
    with pytest.raises(TransientError, match="http://scorer/draw failed: 503 out of memory"):
        await scorer(always(503, type=problem, detail="out of memory")).draw(capture(1), weights=W)


@pytest.mark.parametrize("problem", [IMAGE_REFUSED, DRAW_FAILED, UNAVAILABLE])
async def test_a_problem_that_is_none_of_a_fit_is_transient(problem: str) -> None:
    with pytest.raises(TransientError, match="http://scorer/fit failed: 503 out of memory"):
        await scorer(always(503, type=problem, detail="out of memory")).fit(
            PLACE, FitOrder(normals=[], settings=SETTINGS)
        )


async def test_a_refusal_without_a_reason_is_one_all_the_same() -> None:
    with pytest.raises(PoisonError, match="without a reason"):
        await scorer(always(422, type=IMAGE_REFUSED)).draw(capture(1), weights=W)


async def test_a_fit_takes_normals_by_reference_and_its_own_time() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"weights": W})

    normals = [capture(1), capture(2)]
    assert await scorer(answer).fit(PLACE, FitOrder(normals=normals, settings=SETTINGS)) == FittedTeacher(
        weights=W, evidence=None
    )
    [request] = seen
    body = json.loads(request.content)
    assert [one["capture_id"] for one in body["normals"]] == [one.capture_id for one in normals]
    assert body.items() >= {"line": LINE, "product": PRODUCT, **json.loads(json.dumps(asdict(SETTINGS)))}.items()
    assert request.extensions["timeout"]["read"] == 70.0


async def test_normals_that_can_not_teach_are_refused_for_good() -> None:
    answer = always(422, type=FIT_REFUSED, detail="they differ in size")
    with pytest.raises(FitRefusedError, match="they differ in size"):
        await scorer(answer).fit(PLACE, FitOrder(normals=[], settings=SETTINGS))


async def test_a_scorer_that_is_up_passes_its_probe() -> None:
    await scorer(always(200, text="ok")).probe()


async def test_a_draw_that_is_cancelled_leaves_at_once() -> None:
    async def answer(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(60)
        raise AssertionError

    client = httpx.AsyncClient(base_url="http://scorer", transport=httpx.MockTransport(answer))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await ScorerClient(client, FixedThresholds(), timeout_s=60, fit_timeout_s=60).draw(capture(1), weights=W)
