"""Deployments of Ray Serve: replicas that draw, and one that fits.

A request names its weights by digest. A replica that does not have them loads them beside those it has, so a new
teacher needs no new configuration and takes no replica out of traffic. The replicas read images and store masks
themselves; only the network's computation waits for a batch.
"""

import asyncio
import contextvars
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Annotated, Any, cast

import structlog
from fastapi import FastAPI, Header
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ValidationError
from ray import serve
from ray.exceptions import RayError
from ray.serve.handle import DeploymentHandle

from services.labeler.scorer.batches import BatchItem, examine_batch
from services.labeler.scorer.images import fetch_image
from services.labeler.scorer.outcomes import IMAGE_FAULTS, RETRIED, STATUS, problem_of
from services.labeler.scorer_api import (
    DRAW_FAILED,
    DRAW_PATH,
    FIT_PATH,
    IMAGE_REFUSED,
    MISFIT,
    UNAVAILABLE,
    DrawRequest,
    DrawResponse,
    FitRequest,
    FitResponse,
    RegionBody,
    ScorerProblem,
)
from services.labeler.settings import LabelerSettings
from siad.contracts.errors import TransientError
from siad.contracts.ids import WeightsId, sha256_hex
from siad.contracts.keys import mask_key, score_map_key
from siad.contracts.place import Place
from siad.models.bundle import open_bundle
from siad.models.predictor import Predictor
from siad.models.runner.open import limit_threads
from siad.models.runner.port import DeviceError
from siad.runtime.blobs.open import open_blobs
from siad.runtime.blobs.settings import StoreSettings
from siad.runtime.logs import configure_logs
from siad.runtime.priority import give_way
from siad.runtime.store.registry import Registry
from siad.vision.decide import Finding
from siad.vision.image_hash import image_hash
from siad.vision.images import Image
from siad.vision.masks import encode_mask
from siad.vision.memory_errors import out_of_memory_named
from siad.vision.plausibility import Misfit

log = structlog.get_logger()

ONGOING = 8  # captures that a replica draws at once before Serve starts another
STORE_THREADS = 16  # reading images and storing masks at once, in one replica
http = FastAPI(title="SIAD scorer")


def _prepare(settings: LabelerSettings) -> None:
    """Configure the process of a replica.

    torch is left to the first fit, and to weights without a graph: it takes seconds and hundreds of megabytes.
    """
    configure_logs("labeler", level=settings.log_level)
    give_way(settings.scorer_nice)  # before threads are made, which inherit it
    limit_threads(settings.torch_threads)


def _respond(result: BaseModel) -> JSONResponse:
    """Send a result, or a problem with the status of its type."""
    if isinstance(result, ScorerProblem):
        status = STATUS[result.type]
        headers = {"Retry-After": "1"} if status == 503 else None
        return JSONResponse(result.model_dump(), status_code=status, headers=headers)
    return JSONResponse(result.model_dump())


# Serve pickles the ingress class, and the globals that it uses, while it decorates it: they are defined above it.


@serve.deployment(name="fitter", max_ongoing_requests=1, graceful_shutdown_timeout_s=5)
class FitterReplica:
    """Fits teachers, one at a time, beside the replicas that draw."""

    def __init__(self, settings: LabelerSettings, store: StoreSettings) -> None:
        _prepare(settings)
        self._blobs = open_blobs(store)
        self._torch_threads = settings.torch_threads

    def fit(self, request: FitRequest) -> FitResponse | ScorerProblem:
        """Fit a teacher and store its weights."""
        import torch

        torch.set_num_threads(self._torch_threads)
        from services.labeler.scorer.fits import fit_and_store

        return fit_and_store(self._blobs, request)


@serve.deployment(name="scorer", max_ongoing_requests=64, graceful_shutdown_timeout_s=5)
@serve.ingress(http)
class ScorerReplica:
    """Draws pseudo-masks with the teachers of several lines, and passes fits on."""

    def __init__(self, fitter: DeploymentHandle, settings: LabelerSettings, store: StoreSettings) -> None:
        from siad.models.slots import Room, Slots

        _prepare(settings)
        self._fitter = fitter
        self._blobs = open_blobs(store)
        self._registry = Registry(self._blobs)
        self._device_error: DeviceError | None = None
        self._models = Slots(self._load, Room(models_max=settings.models_max))
        self._threads = ThreadPoolExecutor(STORE_THREADS, "store")
        self._network = ThreadPoolExecutor(1, "network")
        self._score.set_max_batch_size(settings.batch_max)
        self._score.set_batch_wait_timeout_s(settings.batch_wait_s)

    def check_health(self) -> None:
        """Fail once a device has failed, so that Serve replaces this process."""
        if self._device_error is not None:
            raise self._device_error

    @http.get("/healthz")
    async def healthz(self) -> dict[str, str]:
        """Respond once a replica is up; the proxy's own probe responds earlier."""
        return {"status": "up"}

    @http.post(DRAW_PATH)
    async def draw(self, request: DrawRequest, traceparent: Annotated[str, Header()] = "") -> JSONResponse:
        """Draw and store the pseudo-mask of one capture."""
        structlog.contextvars.bind_contextvars(
            line=request.line, capture_id=request.capture_id, traceparent=traceparent
        )
        image_name = f"image {request.image_uri} of capture {request.capture_id}"
        try:
            image = await self._run(self._threads, fetch_image, self._blobs, request.image_uri, request.image_id)
        except IMAGE_FAULTS as error:
            return _respond(ScorerProblem(type=IMAGE_REFUSED, detail=f"{image_name} can't be labelled: {error}"))
        except TransientError as error:
            return _respond(problem_of(error, image_name))
        try:
            return _respond(await self._draw(request, image))
        except (*RETRIED, ValidationError) as error:  # not valid: a score that is no number
            return _respond(self._problem(request, error))

    @http.post(FIT_PATH)
    async def fit(self, request: FitRequest) -> JSONResponse:
        """Fit a teacher in the fitter's process, and store it."""
        try:
            return _respond(await self._fitter.fit.remote(request))
        except RayError as error:  # its process died, for want of memory perhaps, or raised a bug, which Ray logs
            detail = f"the fitter failed on {request.line}/{request.product}, see its log: {error}"
            return _respond(ScorerProblem(type=UNAVAILABLE, detail=detail))

    async def _draw(self, request: DrawRequest, image: Image) -> DrawResponse | ScorerProblem:
        predictor = await self._run(
            self._threads, self._models.predictor, Place(request.line, request.product), WeightsId(request.weights)
        )
        item = BatchItem(image, predictor, request.sizes, request.image_threshold)
        finding: Finding | Misfit | Exception = await self._score(item)
        if isinstance(finding, Misfit):
            return ScorerProblem(type=MISFIT, detail=finding.detail, reason=finding.reason.value)
        if isinstance(finding, Exception):
            return self._problem(request, finding)
        response: DrawResponse = await self._run(self._threads, self._store, request, predictor, image, finding)
        return response

    def _problem(self, request: DrawRequest, error: Exception) -> ScorerProblem:
        if isinstance(error, DeviceError):
            self._device_error = error
        doing = f"weights {request.weights} of {request.line}/{request.product} on capture {request.capture_id}"
        problem = problem_of(error, doing)
        if problem.type == DRAW_FAILED:
            log.error("draw_failed", weights=request.weights, exc_info=error)
        else:
            log.error("draw_put_off", weights=request.weights, reason=problem.detail)
        return problem

    @serve.batch(max_batch_size=8, batch_wait_timeout_s=0.01)  # type: ignore[untyped-decorator]
    async def _score(self, items: list[BatchItem]) -> list[Finding | Misfit | Exception]:
        return await examine_batch(items, run=partial(self._run, self._network))

    def _load(self, place: Place, weights: WeightsId) -> Predictor:
        with out_of_memory_named(f"reading weights {weights[:12]}"):
            manifest = self._registry.manifest(place, weights)
            log.info("weights_loaded", line=place.line, product=place.product, weights=weights)
            return open_bundle(manifest, self._registry.parts(manifest)).with_score_maps()

    def _store(self, request: DrawRequest, predictor: Predictor, image_HWC: Image, finding: Finding) -> DrawResponse:
        key = mask_key(request.line, request.capture_id, request.weights, request.threshold_revision)
        with out_of_memory_named(f"storing {key}"):
            data = encode_mask(finding.pseudo_mask_HW)
            self._blobs.put(key, data, content_type="image/png")
            if finding.score_map_hw is not None:
                map_key = score_map_key(request.line, request.capture_id, request.weights)
                self._blobs.put(map_key, encode_mask(finding.score_map_hw), content_type="image/png")
        return DrawResponse(
            mask_uri=self._blobs.uri(key),
            mask_sha256=sha256_hex(data),
            score=finding.score,
            threshold=predictor.at_threshold(request.image_threshold).image_threshold,
            defect_ratio=finding.defect_ratio,
            regions=[
                RegionBody(points=list(region.points), area_px=region.area_px, peak_score=region.peak_score)
                for region in finding.regions
            ],
            confidence=finding.confidence,
            image_hash=image_hash(image_HWC),
        )

    @staticmethod
    async def _run(executor: ThreadPoolExecutor, function: Any, *args: Any) -> Any:
        call = partial(contextvars.copy_context().run, function, *args)  # its logs keep the capture's fields
        return await asyncio.get_running_loop().run_in_executor(executor, call)


def make_application(settings: LabelerSettings, store: StoreSettings) -> Any:
    """Bind the deployments: a scorer in front, a fitter behind it."""
    scorers, fitters = cast("Any", ScorerReplica), cast("Any", FitterReplica)  # decorated classes are deployments
    fitter = fitters.options(ray_actor_options={"num_cpus": settings.fitter_cpus}).bind(settings, store)
    most = max(settings.replicas, settings.replicas_max or 0)
    count: dict[str, Any] = {"num_replicas": settings.replicas}
    if most > settings.replicas:
        limits = {"min_replicas": settings.replicas, "max_replicas": most}
        count = {"autoscaling_config": {**limits, "target_ongoing_requests": ONGOING}}
    scorer = scorers.options(**count, ray_actor_options={"num_cpus": settings.scorer_cpus})
    return scorer.bind(fitter, settings, store)
