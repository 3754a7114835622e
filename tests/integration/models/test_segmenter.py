"""The segmenter's network: what it answers, and that its files hold all of it."""

from dataclasses import replace

import pytest
import torch

from siad.contracts.errors import UnusableWeightsError
from siad.contracts.events import WeightsKind
from siad.contracts.manifest import Manifest
from siad.models.backbone import Variant
from siad.models.bundle import describe_parts
from siad.models.segmenter import BACKBONE, METHOD, NETWORK, STRIDE, Segmenter, load, new_segmenter, parts_of
from siad.models.tensors import pack, unpack
from siad.vision.images import DECODER_VERSION
from siad.vision.preprocess import PREPROCESS_VERSION
from tests.manifests import make_manifest


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    made = new_segmenter(seed=3)
    with torch.no_grad():
        made.decoder.head.weight.normal_(generator=torch.Generator().manual_seed(0))
    return made


def manifest_of(parts: dict[str, bytes]) -> Manifest:
    return make_manifest(
        kind=WeightsKind.SEGMENTER,
        method=METHOD,
        parts=describe_parts(parts),
        decoder_version=DECODER_VERSION,
        preprocess_version=PREPROCESS_VERSION,
        training_set="0" * 64,
    )


def test_it_scores_every_place_of_images_of_any_shape(segmenter: Segmenter) -> None:
    maps = segmenter.score(torch.zeros(2, 3, 64, 96))
    assert maps.shape == (2, 64 // STRIDE, 96 // STRIDE)
    assert maps.dtype == torch.float32
    assert maps.isfinite().all()


def test_an_image_scores_the_same_alone_and_in_company(segmenter: Segmenter) -> None:
    images = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(segmenter.score(images)[1], segmenter.score(images[1:2])[0], atol=1e-4)


def test_brighter_features_are_the_same_features(segmenter: Segmenter) -> None:
    levels = segmenter.encode(torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1)))
    with torch.inference_mode():
        plain, strong = segmenter.decoder(levels), segmenter.decoder([3 * level for level in levels])
    assert torch.allclose(plain, strong, atol=1e-4)


def test_before_it_has_learned_everything_is_rather_good() -> None:
    assert (new_segmenter().score(torch.zeros(1, 3, 64, 64)) == -2.0).all()


def test_the_same_seed_gives_the_same_network() -> None:
    assert parts_of(new_segmenter(seed=1)) == parts_of(new_segmenter(seed=1))
    assert parts_of(new_segmenter(seed=1))[NETWORK] != parts_of(new_segmenter(seed=2))[NETWORK]


def test_its_files_hold_all_of_it(segmenter: Segmenter) -> None:
    parts = parts_of(segmenter)
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    assert torch.equal(load(manifest_of(parts), parts).score(images), segmenter.score(images))


@pytest.mark.parametrize("variant", ["lite1", "lite2"])
def test_a_file_tells_its_variant(variant: Variant) -> None:
    parts = parts_of(new_segmenter(variant))
    assert load(manifest_of(parts), parts).backbone.variant == variant


def test_another_network_is_refused(segmenter: Segmenter) -> None:
    parts = parts_of(segmenter)
    state = unpack(parts[NETWORK])
    del state["head.bias"]
    broken = {**parts, NETWORK: pack(state)}
    with pytest.raises(UnusableWeightsError, match=r"head\.bias"):
        load(replace(manifest_of(parts), parts=describe_parts(broken)), broken)


def test_the_backbone_is_one_file_for_all_segmenters() -> None:
    assert parts_of(new_segmenter(seed=1))[BACKBONE] == parts_of(new_segmenter(seed=2))[BACKBONE]
