"""What runs inside Ray Serve: replicas that draw pseudo-masks, and one that fits teachers. HTTP in, references out.

A request names its weights by digest; a replica that does not have them loads them beside those it has, so a new
teacher needs no new configuration and takes no replica out of traffic. Images are fetched and masks stored by the
replicas themselves; only what the network computes waits for a batch.
"""

import asyncio
import contextvars
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Annotated, Any, cast

import structlog
from fastapi import FastAPI, Header
from fastapi.responses import JSONResponse
from ray import serve
from ray.serve.handle import DeploymentHandle

from services.labeler.domain.fitting import STEPS
from services.labeler.scorer.batches import examine_batch
from services.labeler.scorer_api import (
    DRAW_FAILED,
    DRAW_PATH,
    FIT_PATH,
    FIT_REFUSED,
    IMAGE_REFUSED,
    DrawRequest,
    FitRequest,
)
from services.labeler.settings import LabelerSettings
from siad.contracts.errors import CorruptError, GoldenError, MissingError, TransientError, UnusableWeightsError
from siad.contracts.ids import WeightsId, sha256_hex
from siad.contracts.keys import mask_key
from siad.contracts.place import Place
from siad.models.bundle import open_bundle
from siad.models.predictor import Predictor
from siad.runtime.blobs.open import open_blobs
from siad.runtime.blobs.port import Blobs, get_verified
from siad.runtime.blobs.settings import StoreSettings
from siad.runtime.logs import configure_logs
from siad.runtime.store.registry import Registry
from siad.vision.decide import Finding
from siad.vision.images import Image, ImageError, decode_image
from siad.vision.masks import encode_mask
from siad.vision.promise import promise_of

log = structlog.get_logger()

# what the store, or weights in it, may have against a draw; each may be mended while it is tried again
WAITED_FOR = (
    MissingError,
    CorruptError,
    TransientError,
    GoldenError,
    UnusableWeightsError,
    MemoryError,
)
http = FastAPI(title="SIAD scorer")


def fetch_image(blobs: Blobs, uri: str, image_id: str) -> Image:
    """Read, verify and decode one image.

    Raises:
        MissingError: it is not there, or its address is in another bucket.
        CorruptError: its bytes are not those of ``image_id``.
        ImageError: its bytes are no image.
    """
    try:
        key = blobs.key_of(uri)
    except ValueError as error:
        raise MissingError(str(error)) from error
    return decode_image(get_verified(blobs, key, sha256=image_id))


def _prepare(settings: LabelerSettings) -> None:
    """What every replica does first."""
    import torch

    configure_logs("labeler", level=settings.log_level)
    torch.set_num_threads(settings.torch_threads)


def _away(detail: str) -> JSONResponse:
    return JSONResponse({"type": "about:blank", "detail": detail}, status_code=503, headers={"Retry-After": "1"})


# Serve freezes the ingress class, and the globals it uses, while it decorates it: what it needs stands above it.


@serve.deployment(name="fitter", max_ongoing_requests=1, graceful_shutdown_timeout_s=5)
class Fitter:
    """Fits teachers, one at a time, beside the replicas that score."""

    def __init__(self, settings: LabelerSettings, store: StoreSettings) -> None:
        _prepare(settings)
        self._blobs = open_blobs(store)

    def fit(self, request: FitRequest) -> dict[str, str]:
        """Fit and store; the pointer is the reconciler's to move. A refusal has a ``detail`` instead of weights."""
        from siad.models.teachers.methods import fit_teacher

        images, names = [], []
        for normal in request.normals:
            try:
                images.append(fetch_image(self._blobs, normal.image_uri, normal.image_id))
            except (MissingError, CorruptError, ImageError) as error:
                log.error("normal_left_out", capture_id=normal.capture_id, reason=str(error))
                continue
            names.append(normal.capture_id)
        if len(images) < STEPS[0]:
            read = f"only {len(images)} of {len(request.normals)} normals can be read"
            return {"detail": f"{read}; {STEPS[0]} are needed, so send more"}
        try:
            bundle = fit_teacher(
                images,
                line=request.line,
                product=request.product,
                normals=names,
                false_reject_budget=request.false_reject_budget,
                method=request.method,
                region=tuple(request.region),
                input_px=request.input_px,
            )
        except ValueError as error:
            return {"detail": f"no {request.method} teacher can be fitted on these {len(images)} normals: {error}"}
        log.info("teacher_fitted", line=request.line, product=request.product, promise=promise_of(bundle.manifest))
        return {"weights": Registry(self._blobs).store(bundle.manifest, bundle.parts)}


@serve.deployment(name="scorer", max_ongoing_requests=64, graceful_shutdown_timeout_s=5)
@serve.ingress(http)
class Scorer:
    """One replica: several lines' teachers, bounded; images fetched and masks stored beside the network's batches."""

    def __init__(self, fitter: DeploymentHandle, settings: LabelerSettings, store: StoreSettings) -> None:
        from siad.models.slots import Slots

        _prepare(settings)
        self._fitter = fitter
        self._blobs = open_blobs(store)
        registry = Registry(self._blobs)

        def load(place: Place, weights: WeightsId) -> Predictor:
            manifest = registry.manifest(*place, weights)
            log.info("weights_loaded", line=place.line, product=place.product, weights=weights)
            return open_bundle(manifest, registry.parts(manifest))

        self._models = Slots(load, models_max=settings.models_max)
        self._threads = ThreadPoolExecutor(16, "store")
        self._network = ThreadPoolExecutor(1, "network")
        self._score.set_max_batch_size(settings.batch_max)
        self._score.set_batch_wait_timeout_s(settings.batch_wait_s)

    @http.get("/healthz")
    async def healthz(self) -> dict[str, str]:
        """Answer once a replica is up: the proxy's own probe answers before there is one."""
        return {"status": "up"}

    @http.post(DRAW_PATH)
    async def draw(self, request: DrawRequest, traceparent: Annotated[str, Header()] = "") -> JSONResponse:
        """Draw and store the pseudo-mask of one capture."""
        structlog.contextvars.bind_contextvars(
            line=request.line, capture_id=request.capture_id, traceparent=traceparent
        )
        try:
            image = await self._run(self._threads, fetch_image, self._blobs, request.image_uri, request.image_id)
        except (MissingError, CorruptError, ImageError) as error:
            detail = f"image {request.image_uri} of capture {request.capture_id} can't be labelled: {error}"
            return JSONResponse({"type": IMAGE_REFUSED, "detail": detail}, status_code=422)
        except TransientError as error:
            return _away(str(error))
        try:
            examiner = await self._run(
                self._threads, self._models.predictor, Place(request.line, request.product), WeightsId(request.weights)
            )
            finding: Finding | Exception = await self._score((image, examiner))
            if isinstance(finding, WAITED_FOR):
                raise finding
            if isinstance(finding, Exception):
                log.error("draw_failed", weights=request.weights, exc_info=finding)
                detail = f"weights {request.weights} can't judge capture {request.capture_id}: {finding!r}"
                return JSONResponse({"type": DRAW_FAILED, "detail": detail}, status_code=500)
            return JSONResponse(await self._run(self._threads, self._store, request, examiner, finding))
        except WAITED_FOR as error:
            log.error("draw_put_off", weights=request.weights, reason=str(error))
            return _away(f"weights {request.weights} of {request.line}/{request.product}: {error}")

    @http.post(FIT_PATH)
    async def fit(self, request: FitRequest) -> JSONResponse:
        """Fit a teacher, elsewhere, and store it."""
        answer: dict[str, str] = await self._fitter.fit.remote(request)
        if "weights" in answer:
            return JSONResponse(answer)
        return JSONResponse({"type": FIT_REFUSED, **answer}, status_code=422)

    @serve.batch(max_batch_size=8, batch_wait_timeout_s=0.01)  # type: ignore[untyped-decorator]
    async def _score(self, items: list[tuple[Image, Predictor]]) -> list[Finding | Exception]:
        return await examine_batch(items, run=partial(self._run, self._network))

    def _store(self, request: DrawRequest, examiner: Predictor, finding: Finding) -> dict[str, Any]:
        data = encode_mask(finding.pseudo_mask_HW)
        key = mask_key(request.line, request.capture_id, request.weights)
        self._blobs.put(key, data, content_type="image/png")
        return {
            "mask_uri": self._blobs.uri(key),
            "mask_sha256": sha256_hex(data),
            "score": finding.score,
            "threshold": examiner.manifest.image_threshold,
            "defect_ratio": finding.defect_ratio,
            "regions": [
                {"points": region.points, "area_px": region.area_px, "peak_score": region.peak_score}
                for region in finding.regions
            ],
            "confidence": finding.confidence,
        }

    @staticmethod
    async def _run(executor: ThreadPoolExecutor, function: Any, *args: Any) -> Any:
        call = partial(contextvars.copy_context().run, function, *args)  # what it logs says whose capture it is about
        return await asyncio.get_running_loop().run_in_executor(executor, call)


def make_application(settings: LabelerSettings, store: StoreSettings) -> Any:
    """The application: a scorer in front, a fitter behind it."""
    scorers, fitters = cast("Any", Scorer), cast("Any", Fitter)  # the decorator makes deployments of the classes
    fitter = fitters.options(ray_actor_options={"num_cpus": settings.fitter_cpus}).bind(settings, store)
    scorer = scorers.options(num_replicas=settings.replicas, ray_actor_options={"num_cpus": settings.scorer_cpus})
    return scorer.bind(fitter, settings, store)
