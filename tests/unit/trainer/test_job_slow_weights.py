"""Whose map a fast segmenter learns: the released residual, or the teacher where that can't be used."""

from dataclasses import replace

import pytest

from services.trainer.job.serving import read_slow
from siad.contracts.errors import CorruptError, MissingError, TransientError
from siad.contracts.events import WeightsKind
from siad.contracts.keys import part_key
from siad.models.bundle import Bundle
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.blobs.port import Blob
from siad.runtime.store.registry import Registry
from tests.synthetic import LINE, PRODUCT, bundle
from tests.unit.trainer.test_judge import SPEC


class Plant:
    """A teacher, and a segmenter that opens, in one store."""

    def __init__(self) -> None:
        self.blobs = MemoryBlobs()
        self.teacher = self.store(bundle())
        self.residual = self.store(bundle(WeightsKind.SEGMENTER, seed=1))
        self.spec = replace(SPEC, line=LINE, product=PRODUCT, teacher=self.teacher, distilled=self.residual)

    def store(self, made: Bundle) -> str:
        return Registry(self.blobs).store(made.manifest, made.parts)

    def read(self) -> str:
        return read_slow(self.blobs, self.spec).manifest.weights


def test_it_is_the_residual_of_the_spec_else_the_teacher() -> None:
    plant = Plant()
    assert plant.read() == plant.residual
    assert read_slow(plant.blobs, replace(plant.spec, distilled="")).manifest.weights == plant.teacher


def test_a_residual_that_cannot_be_used_is_replaced_by_the_teacher(capsys: pytest.CaptureFixture[str]) -> None:
    plant = Plant()
    plant.spec = replace(plant.spec, distilled="f" * 64)  # there is none
    assert plant.read() == plant.teacher
    plant.spec = replace(plant.spec, distilled=plant.residual, region=(0.0, 0.0, 1.0, 0.0, 1.0, 0.5))
    assert plant.read() == plant.teacher
    assert capsys.readouterr().out.count("distilled_segmenter_unusable") == 2


def test_a_damaged_residual_is_replaced_and_a_damaged_teacher_fails_the_job() -> None:
    plant = Plant()
    for part in bundle(WeightsKind.SEGMENTER, seed=1).manifest.parts:
        if part.name == "memory.safetensors":
            plant.blobs.put(part_key(part.sha256), b"x")
    assert plant.read() == plant.teacher
    for part in bundle().manifest.parts:
        plant.blobs.put(part_key(part.sha256), b"x")
    with pytest.raises((CorruptError, MissingError)):
        plant.read()


def test_an_outage_is_no_reason_to_learn_from_another() -> None:
    class Unavailable(MemoryBlobs):
        def get(self, key: str) -> Blob:
            msg = "the store is unavailable"
            raise TransientError(msg)

    with pytest.raises(TransientError):
        read_slow(Unavailable(), Plant().spec)
