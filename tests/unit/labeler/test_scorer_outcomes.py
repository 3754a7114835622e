"""Faults injected into the scorer: each has one outcome, and exhausted memory condemns no capture and no fit."""

import io
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
import torch
from numpy.typing import NDArray

from services.labeler.scorer.fits import FitTeacher, fit_and_store
from services.labeler.scorer.images import fetch_image
from services.labeler.scorer.outcomes import STATUS, problem_of
from services.labeler.scorer_api import (
    ACCESS_DENIED,
    DRAW_FAILED,
    FIT_REFUSED,
    UNAVAILABLE,
    FitRequest,
    FitResponse,
    HeldOutImage,
    NormalImage,
)
from siad.contracts.errors import (
    CorruptError,
    DeniedError,
    GoldenError,
    MissingError,
    OutOfMemoryError,
    TransientError,
    UnusableWeightsError,
)
from siad.contracts.fit_settings import FitSettings
from siad.contracts.ids import sha256_hex
from siad.contracts.manifest import part_of
from siad.contracts.place import Place
from siad.contracts.release_evidence import EvidenceKind
from siad.models.bundle import Bundle
from siad.models.runner.port import DeviceError
from siad.models.teachers.normals import Normals
from siad.models.teachers.refit import Comparison, Refit, refit_teacher
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.store.registry import Registry
from siad.vision.formats import png as png_format
from siad.vision.images import ImageError
from tests.manifests import make_manifest
from tests.synthetic import part_image, png


def opencv_out_of_memory() -> cv2.error:
    error = cv2.error("Failed to allocate 30000000000 bytes")
    error.code = -4
    return error


EXHAUSTED = [
    MemoryError(),
    np.core._exceptions._ArrayMemoryError((9,), np.dtype(np.float32)),  # type: ignore[attr-defined]
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried to ..."),
    opencv_out_of_memory(),
    OutOfMemoryError("memory ran out while scoring 2 images"),
]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        *((error, UNAVAILABLE) for error in EXHAUSTED),
        (TransientError("store unavailable"), UNAVAILABLE),
        (MissingError("no manifest"), UNAVAILABLE),
        (CorruptError("torn part"), UNAVAILABLE),
        (UnusableWeightsError("of another method"), UNAVAILABLE),
        (GoldenError("misses its golden scores"), UNAVAILABLE),
        (DeviceError("CUDA error: an illegal memory access was encountered"), UNAVAILABLE),
        (DeniedError("403"), ACCESS_DENIED),
        (ZeroDivisionError("division by zero"), DRAW_FAILED),
        (RuntimeError("shapes differ"), DRAW_FAILED),
        (ValueError("score is not finite"), DRAW_FAILED),
    ],
    ids=lambda case: type(case).__name__ if isinstance(case, Exception) else case,
)
def test_every_failure_of_a_draw_has_one_outcome(error: Exception, outcome: str) -> None:
    problem = problem_of(error, "weights 9f3c")
    assert problem.type == outcome
    assert problem.detail.startswith("weights 9f3c: ")


def test_every_problem_has_a_status() -> None:
    assert {STATUS[kind] for kind in (ACCESS_DENIED, UNAVAILABLE)} == {503}


def request(blobs: MemoryBlobs, normals: int = 10, **changes: Any) -> FitRequest:
    images = []
    for seed in range(normals):
        data = png(part_image(seed))
        blobs.put(f"images/{seed}.png", data)
        image_id = sha256_hex(data)
        images.append(
            NormalImage(capture_id=image_id[:32], image_id=image_id, image_uri=blobs.uri(f"images/{seed}.png"))
        )
    settings = {"false_reject_budget": 0.1, "method": "feature-memory", "region": [], "input_px": 0, **changes}
    return FitRequest(line="l", product="p", normals=images, **settings)


def fits(bundle: Bundle) -> FitTeacher:
    def fit(normals: Normals, _: FitSettings, __: Comparison | None, *_others: object) -> Refit:
        named = replace(bundle.manifest, normals=normals.capture_ids)
        return Refit(bundle=Bundle(named, bundle.parts), evidence=None)

    return fit


def failing(error: Exception) -> FitTeacher:
    def fit(_: Normals, __: FitSettings, ___: Comparison | None, *_others: object) -> Refit:
        raise error

    return fit


BUNDLE = Bundle(make_manifest(parts=(part_of("golden", b"x"),)), {"golden": b"x"})


def test_a_fit_stores_its_weights() -> None:
    blobs = MemoryBlobs()
    response = fit_and_store(blobs, request(blobs), fits(BUNDLE))
    assert isinstance(response, FitResponse)
    assert len(Registry(blobs).manifest(Place("l", "p"), response.weights).normals) == 10


@pytest.mark.parametrize("error", EXHAUSTED, ids=lambda error: type(error).__name__)
def test_a_fit_without_memory_is_unavailable_and_not_refused(error: Exception) -> None:
    blobs = MemoryBlobs()
    problem = fit_and_store(blobs, request(blobs), failing(error))
    assert problem.type == UNAVAILABLE  # type: ignore[union-attr]
    assert "memory ran out" in problem.detail  # type: ignore[union-attr]


def test_a_fit_on_a_store_that_denies_access_is_denied() -> None:
    blobs = DenyingBlobs()
    asked = request(blobs)
    blobs.denies = True
    assert fit_and_store(blobs, asked, fits(BUNDLE)).type == ACCESS_DENIED  # type: ignore[union-attr]


class DenyingBlobs(MemoryBlobs):
    """Denies reading once ``denies`` is set."""

    denies = False

    def get(self, key: str) -> Any:
        if self.denies:
            raise DeniedError("403")
        return MemoryBlobs.get(self, key)


def test_normals_that_rule_out_a_teacher_refuse_the_fit_in_words() -> None:
    blobs = MemoryBlobs()
    problem = fit_and_store(blobs, request(blobs), failing(ValueError("they differ in size")))
    assert problem.type == FIT_REFUSED  # type: ignore[union-attr]
    assert problem.detail == "no feature-memory teacher can be fitted on these 10 normals: they differ in size"  # type: ignore[union-attr]


def test_a_removed_method_refuses_the_fit_and_names_the_others() -> None:
    blobs = MemoryBlobs()
    problem = fit_and_store(blobs, request(blobs, method="removed-method"), refit_teacher)
    assert problem.type == FIT_REFUSED  # type: ignore[union-attr]
    assert "no removed-method teacher" in problem.detail  # type: ignore[union-attr]
    assert "feature-memory" in problem.detail  # type: ignore[union-attr]


def test_too_few_readable_normals_refuse_the_fit() -> None:
    blobs = MemoryBlobs()
    asked = request(blobs)
    blobs.put("images/3.png", b"no image")
    problem = fit_and_store(blobs, asked, fits(BUNDLE))
    assert problem.type == FIT_REFUSED  # type: ignore[union-attr]
    assert problem.detail == (  # type: ignore[union-attr]
        "a teacher needs 10 normals, and there are 9, since 1 of 10 can't be read: send 1 more"
    )
    asked.normals = asked.normals[:3]
    problem = fit_and_store(blobs, asked, fits(BUNDLE))
    assert "there are 3: send 7 more" in problem.detail  # type: ignore[union-attr]


def test_goods_and_captures_of_the_stream_are_learned_and_set_no_threshold() -> None:
    blobs, seen = MemoryBlobs(), list[Normals]()

    def fit(normals: Normals, _: FitSettings, comparison: Comparison | None, *_others: object) -> Refit:
        seen.append(normals)
        assert comparison is None  # nothing is held out
        return Refit(bundle=BUNDLE, evidence=None)

    asked = request(blobs, 14)
    asked.normals, asked.goods, asked.stream = asked.normals[:10], asked.normals[9:12], asked.normals[11:]
    fit_and_store(blobs, asked, fit)
    [normals] = seen
    assert len(normals) == 14
    assert normals.selected == {one.capture_id for one in asked.goods[1:]}  # the first is a normal already
    assert normals.unconfirmed == {one.capture_id for one in asked.stream[1:]}
    assert set(normals.calibrating) == {one.capture_id for one in asked.normals}


def test_a_serving_teacher_that_cannot_be_opened_leaves_nothing_to_compare_with() -> None:
    blobs, seen = MemoryBlobs(), list[Comparison | None]()

    def fit(_: Normals, __: FitSettings, comparison: Comparison | None, *_others: object) -> Refit:
        seen.append(comparison)
        return Refit(bundle=BUNDLE, evidence=None)

    asked = request(blobs, 12)
    asked.serving = Registry(blobs).store(BUNDLE.manifest, BUNDLE.parts)
    asked.held_out = [HeldOutImage(**one.model_dump(), kind=EvidenceKind.STREAM) for one in asked.normals[10:]]
    asked.normals = asked.normals[:10]
    fit_and_store(blobs, asked, fit)
    assert seen == [None]


def test_memory_that_runs_out_during_decoding_does_not_make_an_image_poison(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    blobs = MemoryBlobs()
    data = png(part_image(1))
    blobs.put("images/1.png", data)

    def exhausted(*_: Any) -> None:
        raise opencv_out_of_memory()

    monkeypatch.setattr(png_format, "png_decode", exhausted)
    with pytest.raises(OutOfMemoryError):
        fetch_image(blobs, blobs.uri("images/1.png"), sha256_hex(data))


def test_an_image_in_another_bucket_is_missing() -> None:
    with pytest.raises(MissingError, match="is not an address in bucket"):
        fetch_image(MemoryBlobs(), "s3://other/images/1.png", "0" * 64)


def test_bytes_that_are_no_image_are_an_image_error() -> None:
    blobs = MemoryBlobs()
    blobs.put("images/1.png", b"no image")
    with pytest.raises(ImageError):
        fetch_image(blobs, blobs.uri("images/1.png"), sha256_hex(b"no image"))


def test_the_depth_that_the_line_states_reaches_the_fit() -> None:
    blobs, asked = MemoryBlobs(), list[int]()

    def fit(normals: Normals, settings: FitSettings, _: Comparison | None, *_others: object) -> Refit:
        asked.append(settings.bits)
        return Refit(bundle=BUNDLE, evidence=None)

    fit_and_store(blobs, request(blobs, bits=12), fit)
    fit_and_store(blobs, request(blobs), fit)  # as a labeler of an earlier version asks
    assert asked == [12, 0]


def test_the_depth_that_files_declare_reaches_the_fit() -> None:
    blobs, seen = MemoryBlobs(), list[tuple[int, ...]]()

    def fit(normals: Normals, settings: FitSettings, _: Comparison | None, *_others: object) -> Refit:
        seen.append(normals.declared_bits)
        return Refit(bundle=BUNDLE, evidence=None)

    asked = request(blobs)
    for normal in asked.normals:
        data = mono12(np.full((16, 16), 900, np.uint16), declares=normal is asked.normals[0])
        blobs.put(blobs.key_of(normal.image_uri), data)
        normal.image_id = sha256_hex(data)
    fit_and_store(blobs, asked, fit)
    assert sorted(seen[0]) == [0] * 9 + [12]


def mono12(image_HW: NDArray[np.uint16], *, declares: bool) -> bytes:
    """TIFF of 12 bits in 16, which says so in MaxSampleValue or not."""
    out = io.BytesIO()
    tags = [(281, "H", 1, 4095, True)] if declares else []
    tifffile.imwrite(out, image_HW, extratags=tags, metadata=None)
    return out.getvalue()
