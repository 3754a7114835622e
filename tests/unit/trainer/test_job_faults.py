"""Faults injected into a training job: what is left out, what is transient, and what is judged without."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest

from services.trainer.domain.training_set import MemberRole, MemberUse, TrainingMember, TrainingSet
from services.trainer.job.evaluation import make_scorer
from services.trainer.job.evidence import without_learned
from services.trainer.job.examples import MemberPixels, ReadMembers, as_inputs, without_misfits
from services.trainer.job.members import StoredMembers
from services.trainer.job.serving import learned_by_teacher, open_serving
from siad.contracts.errors import DeniedError, OutOfMemoryError, TransientError
from siad.contracts.events import WeightsKind
from siad.contracts.ids import sha256_hex
from siad.contracts.manifest import part_of
from siad.models.segmenter import new_segmenter
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.blobs.port import Blob
from siad.runtime.store.registry import Registry
from siad.vision.images import DECODER_VERSION, Image
from siad.vision.plausibility import profile_normals
from siad.vision.preprocess import PREPROCESS_VERSION
from tests.manifests import make_manifest
from tests.synthetic import part_image, png
from tests.unit.trainer.test_judge import SPEC

IMAGE = png(part_image(1))


class FailingBlobs(MemoryBlobs):
    """Fails to read while ``error`` is set."""

    error: Exception | None = None

    def get(self, key: str) -> Blob:
        if self.error is not None:
            raise self.error
        return MemoryBlobs.get(self, key)


def member(uri: str, image_id: str = sha256_hex(IMAGE)) -> TrainingMember:
    return TrainingMember(
        capture_id="c", image_id=image_id, image_uri=uri, mask_uri="", mask_sha256="",
        role=MemberRole.NORMAL, use=MemberUse.TRAIN, weight=1.0,
    )  # fmt: skip


def test_members_that_are_missing_damaged_or_elsewhere_are_left_out() -> None:
    blobs = MemoryBlobs()
    blobs.put("good.png", IMAGE)
    blobs.put("text.png", b"text")
    good = member(blobs.uri("good.png"))
    damaged = [
        member(blobs.uri("missing.png")),
        member(blobs.uri("good.png"), image_id="0" * 64),
        member(blobs.uri("text.png"), image_id=sha256_hex(b"text")),
        member("s3://another-bucket/good.png"),
    ]
    assert [one for one, _ in StoredMembers(blobs).read([*damaged, good])] == [good]


@pytest.mark.parametrize(
    "error", [TransientError("unavailable"), DeniedError("403"), OutOfMemoryError("memory ran out")], ids=repr
)
def test_a_member_that_cannot_be_read_now_is_not_left_out(error: Exception) -> None:
    blobs = FailingBlobs()
    blobs.put("good.png", IMAGE)
    blobs.error = error
    with pytest.raises(type(error)):
        list(StoredMembers(blobs).read([member(blobs.uri("good.png"))]))


def stored_segmenter(blobs: MemoryBlobs, *, decoder_version: int = DECODER_VERSION) -> str:
    """Store a segmenter whose golden part is no tensor file."""
    manifest = make_manifest(
        kind=WeightsKind.SEGMENTER,
        method="unet",
        parts=(part_of("golden.safetensors", b"damaged"),),
        training_set="0" * 64,
        decoder_version=decoder_version,
        preprocess_version=PREPROCESS_VERSION,
    )
    return Registry(blobs).store(manifest, {"golden.safetensors": b"damaged"})


@pytest.mark.parametrize("decoder_version", [DECODER_VERSION, DECODER_VERSION + 1], ids=["damaged", "other version"])
def test_a_serving_segmenter_that_cannot_be_opened_does_not_block_its_successor(decoder_version: int) -> None:
    blobs = MemoryBlobs()
    spec = replace(SPEC, serving=stored_segmenter(blobs, decoder_version=decoder_version))
    assert open_serving(blobs, spec) is None
    assert open_serving(blobs, replace(spec, serving="f" * 64)) is None  # missing
    assert open_serving(blobs, replace(spec, serving="")) is None  # none serves


def test_a_serving_segmenter_that_cannot_be_read_now_is_not_judged_without() -> None:
    blobs = FailingBlobs()
    spec = replace(SPEC, serving=stored_segmenter(blobs))
    for error in (TransientError("unavailable"), OutOfMemoryError("memory ran out")):
        blobs.error = error
        with pytest.raises(type(error)):
            open_serving(blobs, spec)


def test_captures_that_the_teacher_learned_are_no_evidence() -> None:
    blobs = MemoryBlobs()
    manifest = make_manifest(
        line=SPEC.line, product=SPEC.product, normals=("1",), stream_normals=("2",), parts=(part_of("golden", b"x"),)
    )
    spec = replace(SPEC, teacher=Registry(blobs).store(manifest, {"golden": b"x"}))
    held_out = TrainingSet(members=tuple(numbered(number) for number in (1, 2, 3)))
    assert without_learned(held_out, learned_by_teacher(blobs, spec)).members == (numbered(3),)
    assert learned_by_teacher(blobs, replace(spec, teacher="f" * 64)) == frozenset()


def numbered(number: int) -> TrainingMember:
    return replace(member(f"s3://siad/{number}.png"), capture_id=str(number))


def pixels(*images: Image) -> ReadMembers:
    """Members 0, 1, ... with these images, each with a mask of its size."""

    def read(members: Sequence[TrainingMember]) -> Iterator[tuple[TrainingMember, MemberPixels]]:
        for index, image_HWC in enumerate(images):
            yield numbered(index), (image_HWC, np.zeros(image_HWC.shape[:2], np.uint8))

    return read


DEEP = np.full((64, 64, 1), 4095, np.uint16)
PROFILED = replace(SPEC, profile=profile_normals([DEEP], 12), region=())


def test_members_that_do_not_fit_the_teachers_normals_are_left_out() -> None:
    tiny, shallow, beyond = DEEP[:8], np.zeros((64, 64, 1), np.uint8), DEEP + np.uint16(1)
    read = pixels(tiny, DEEP, shallow, beyond)
    assert [one.capture_id for one, _ in without_misfits(PROFILED, read)([])] == ["1"]
    any_size = replace(PROFILED, sizes="any")
    assert [one.capture_id for one, _ in without_misfits(any_size, read)([])] == ["0", "1"]
    assert [one.capture_id for one, _ in without_misfits(SPEC, read)([])] == ["0", "1", "2", "3"]


def test_members_become_inputs_of_the_full_range_within_the_region() -> None:
    spec = replace(PROFILED, region=(0.0, 0.0, 0.5, 0.0, 0.5, 1.0, 0.0, 1.0))
    [(_, (image_HWC, mask_hw))] = as_inputs(spec, pixels(DEEP))([])
    assert (image_HWC.shape, image_HWC.min()) == ((64, 32, 1), 65535)
    assert mask_hw is not None
    assert mask_hw.shape == (64, 32)
    [(_, (unscaled_HWC, _))] = as_inputs(replace(spec, profile=None), pixels(DEEP))([])
    assert unscaled_HWC.max() == 4095


def test_a_candidate_scores_whole_images_at_the_depth_of_its_line() -> None:
    segmenter = new_segmenter(seed=0)
    [deep_HW] = make_scorer(segmenter, input_px=64, bits=12)([DEEP])
    [white_HW] = make_scorer(segmenter, input_px=64)([np.full((64, 64, 1), 255, np.uint8)])
    np.testing.assert_allclose(deep_HW, white_HW, atol=1e-4)
