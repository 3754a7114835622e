"""Refits on a stream that a segmenter judges: what it rejects is not learned."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from services.labeler.scorer import fits
from services.labeler.scorer.fits import fit_and_store
from services.labeler.scorer_api import FitRequest, FitResponse, NormalImage
from siad.contracts.events import SegmenterStatus, WeightsKind
from siad.contracts.ids import WeightsId, sha256_hex
from siad.contracts.keys import threshold_key, weights_pointer_key
from siad.contracts.manifest import part_of
from siad.contracts.pointer import Pointer
from siad.models.bundle import Bundle
from siad.models.predictor import Predictor
from siad.models.teachers.normals import Normals
from siad.models.teachers.refit import Refit
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.store.registry import Registry
from tests.events import NOON
from tests.manifests import make_manifest
from tests.runners import BrightnessRunner
from tests.synthetic import LINE, PRODUCT, part_image, png
from tests.thresholds import make_threshold_set
from tests.unit.labeler import world
from tests.unit.labeler.test_labeler_refits import LEVEL, line_with_stream

PART = {"golden": b"x"}
BUNDLE = Bundle(make_manifest(parts=(part_of("golden", b"x"),)), PART)


def sent(blobs: MemoryBlobs, image_HWC: NDArray[np.uint8]) -> NormalImage:
    data = png(image_HWC)
    image_id = sha256_hex(data)
    blobs.put(f"images/{image_id}.png", data)
    return NormalImage(capture_id=image_id[:32], image_id=image_id, image_uri=blobs.uri(f"images/{image_id}.png"))


def request(blobs: MemoryBlobs) -> tuple[FitRequest, NormalImage]:
    """Ten normals, and a stream of four good captures and a defective one."""
    defect = sent(blobs, part_image(20, defect=True))
    asked = FitRequest(
        line=LINE,
        product=PRODUCT,
        normals=[sent(blobs, part_image(seed)) for seed in range(10)],
        stream=[*(sent(blobs, part_image(seed)) for seed in range(10, 14)), defect],
        false_reject_budget=0.1,
        method="feature-memory",
        region=[],
        input_px=0,
    )
    return asked, defect


def learned(blobs: MemoryBlobs, asked: FitRequest) -> frozenset[str]:
    """Captures of the stream that reach the fit."""
    seen: list[Normals] = []

    def fit(normals: Normals, *_: object) -> Refit:
        seen.append(normals)
        return Refit(bundle=BUNDLE, evidence=None)

    assert isinstance(fit_and_store(blobs, asked, fit), FitResponse)
    return seen[0].unconfirmed


def with_segmenter(blobs: MemoryBlobs, asked: FitRequest) -> FitRequest:
    """A segmenter that finds bright blobs judges the line."""
    manifest = replace(BUNDLE.manifest, kind=WeightsKind.SEGMENTER, line=LINE, product=PRODUCT, image_threshold=0.5)
    return asked.model_copy(update={"segmenter": Registry(blobs).store(manifest, PART)})


@pytest.fixture
def by_brightness(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights open to a network that scores brightness."""
    monkeypatch.setattr(fits, "open_bundle", lambda manifest, _: Predictor(manifest, BrightnessRunner()))


@pytest.mark.usefixtures("by_brightness")
def test_what_the_segmenter_rejects_is_not_learned() -> None:
    blobs = MemoryBlobs()
    asked, defect = request(blobs)
    every = {one.capture_id for one in asked.stream}
    assert learned(blobs, asked) == every  # the teacher alone took all of them for good
    assert learned(blobs, with_segmenter(blobs, asked)) == every - {defect.capture_id}


@pytest.mark.usefixtures("by_brightness")
def test_a_threshold_set_since_rejects_too() -> None:
    blobs = MemoryBlobs()
    asked, _ = request(blobs)
    asked = with_segmenter(blobs, asked)
    low = make_threshold_set(asked.segmenter, line=LINE, product=PRODUCT, image_threshold=-1.0)
    blobs.put(threshold_key(LINE, PRODUCT, asked.segmenter), low.to_json())
    assert learned(blobs, asked) == frozenset()


def test_nothing_of_the_stream_is_learned_where_the_segmenter_cannot_be_opened() -> None:
    blobs = MemoryBlobs()
    asked, _ = request(blobs)
    unopened = Registry(blobs).store(replace(BUNDLE.manifest, method="removed"), PART)
    assert learned(blobs, asked.model_copy(update={"segmenter": unopened})) == frozenset()
    assert learned(blobs, asked.model_copy(update={"segmenter": "9" * 64})) == frozenset()


async def test_the_segmenter_in_service_is_named_and_a_withdrawn_one_is_not() -> None:
    for status, named in ((SegmenterStatus.SERVING, "7" * 64), (SegmenterStatus.WITHDRAWN, "")):
        there = await line_with_stream(60, evidence_of=LEVEL)
        pointer = Pointer(
            kind=WeightsKind.SEGMENTER,
            line=world.LINE,
            product=world.PRODUCT,
            revision=1,
            weights=WeightsId("7" * 64),
            released_at=NOON,
            status=status,
            history=(),
        )
        MemoryBlobs.put(there.blobs, weights_pointer_key("segmenter", world.LINE, world.PRODUCT), pointer.to_json())
        assert await there.settle() == ["FitTeacher"]
        assert there.serve.orders[-1]["segmenter"] == named
