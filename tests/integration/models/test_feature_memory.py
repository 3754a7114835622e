"""The default teacher on tiny images with the real backbone."""

from dataclasses import replace
from functools import cache, partial

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from siad.contracts.errors import UnusableWeightsError
from siad.contracts.manifest import Manifest
from siad.models.backbone import pretrained_backbone
from siad.models.bundle import Bundle, open_bundle
from siad.models.predictor import Predictor
from siad.models.teachers.distance_norm import DistanceNorm
from siad.models.teachers.feature_memory import BACKBONE, MEMORY, RECIPE, fit, load
from siad.models.teachers.memory_banks import Bank, banks_of
from siad.models.teachers.memory_fit import encode_normals, exclude_suspects, fit_memory
from siad.models.teachers.memory_recipe import MemoryRecipe
from siad.models.teachers.patch_features import nearest_distances, normalise_features
from siad.models.tensors import unpack
from siad.vision import outliers
from siad.vision.decide import smooth_map
from siad.vision.preprocess import preprocess
from tests.synthetic import normals_of

TINY = MemoryRecipe(input_px=64, places_max=24, candidates_max=70, candidates_each=0)
COUNT = 6
BUDGET = 0.01


def part(seed: int, *, defect: bool = False) -> NDArray[np.uint8]:
    """Stripes with grain, uint8 [64, 64, 1]; a defect is a bright square."""
    rng = np.random.default_rng(seed)
    pixels = 120 + 40 * np.sin(np.arange(64) / 3 + seed / 9)[None, :] + rng.normal(0, 4, (64, 64))
    if defect:
        pixels[20:36, 30:46] = 250
    return pixels.clip(0, 255).astype(np.uint8)[:, :, None]


def fitted(recipe: MemoryRecipe = TINY, *, count: int = COUNT, budget: float = BUDGET) -> Bundle:
    order = np.random.default_rng(count).permutation(count)
    capture_ids = [f"{index:032x}" for index in order]
    normals = normals_of([part(index) for index in order], capture_ids)
    return fit(normals, false_reject_budget=budget, recipe=recipe)


@cache
def bundle() -> Bundle:
    return fitted()


@cache
def predictor() -> Predictor:
    return open_bundle(bundle().manifest, bundle().parts)


def test_a_defect_is_found_where_it_is() -> None:
    finding = predictor().predict([part(100, defect=True)])[0]
    assert finding.is_defect
    assert (finding.pseudo_mask_HW[24:32, 34:42] > 0).all()
    assert finding.score > 2 * max(bundle().manifest.held_out_scores)


def test_a_good_part_passes() -> None:
    assert not any(finding.is_defect for finding in predictor().predict([part(seed) for seed in range(50, 55)]))


def test_the_same_normals_in_any_order_give_the_same_weights() -> None:
    normals = normals_of([part(index) for index in range(COUNT)])
    again = fit(normals, false_reject_budget=BUDGET, recipe=TINY)
    assert again.manifest.weights == bundle().manifest.weights
    assert again.parts == bundle().parts


def test_other_normals_give_other_weights_over_the_same_backbone() -> None:
    other = fitted(count=COUNT - 1)
    assert other.manifest.weights != bundle().manifest.weights
    assert other.manifest.part(BACKBONE) == bundle().manifest.part(BACKBONE)


def slow_span(place: torch.Tensor, others: torch.Tensor) -> float:
    """Distance to the best mean of the five nearest: Lagrange's conditions, solved as they are written."""
    every = (others - place).double()
    apart = every[every.norm(dim=1).argsort()[:5]].numpy()
    system = np.ones((6, 6))
    system[5, 5] = 0
    system[:5, :5] = apart @ apart.T + (0.3 * np.mean((apart**2).sum(1)) + 1e-4) * np.eye(5)
    return float(np.linalg.norm(np.linalg.solve(system, np.eye(6)[5])[:5] @ apart))


def slow_apart(bank: Bank) -> list[torch.Tensor]:
    """Logs of the normals' leave-one-out distances to a bank, from the bundle's own numbers."""
    memory = unpack(bundle().parts[MEMORY])
    remembered, style = memory[f"bank.{bank.name}"], memory.get(f"mean.{bank.name}")
    is_coarse = bank.name != "s2"
    logs = []
    for number in range(COUNT):
        input_BCHW = torch.from_numpy(preprocess(part(number), input_px=64))[None]
        with torch.inference_mode():
            output = pretrained_backbone("lite0")(input_BCHW, (bank.stage,))[0]
            grid, pooled_BND = bank.pool(TINY, output, (64, 64))
            places = normalise_features(pooled_BND, mean_D=style)[0]
        own = [bool((places.half() == row).all(1).any()) for row in remembered]
        others = torch.nn.functional.normalize(remembered[~torch.tensor(own)].float(), dim=1)
        apart = [
            max(0.01, slow_span(place, others) if is_coarse else float((place - others).norm(dim=1).min()))
            for place in places
        ]
        logs.append(torch.tensor(apart).log().reshape(grid))
    return logs


def slow_held_out(image: int) -> float:
    """Leave-one-out score of one normal, position by position."""
    total, zones = np.zeros((8, 8)), np.zeros((8, 8))
    for bank, weight in zip(banks_of(TINY), (1.0, 1.0, 0.25, 0.0), strict=True):
        logs = slow_apart(bank)
        norm = DistanceNorm.by_position([log for number, log in enumerate(logs) if number != image])
        over = torch.nn.functional.interpolate(norm.standardise(logs[image][None])[None], size=(8, 8), mode="bilinear")
        over_hw = over[0, 0].clamp_min(0).numpy()
        total += weight / 2.25 * np.cbrt(over_hw)
        zones = 0.3 * over_hw  # the last bank's
    raw_hw = np.maximum(total**3, zones)
    floor, lifted = np.quantile(raw_hw, 0.1), raw_hw.max() + 0.25 * np.median(raw_hw)
    raw_hw = np.maximum(raw_hw - floor, 0) * lifted / (raw_hw.max() - floor)
    return float(smooth_map(raw_hw.astype(np.float32), input_hw=(64, 64), size_px=(64, 64)).max())


@pytest.mark.parametrize("image", [0, 3])
def test_a_held_out_score_is_that_of_a_memory_without_the_image(image: int) -> None:
    assert bundle().manifest.held_out_scores[image] == pytest.approx(slow_held_out(image), rel=1e-3)


def test_a_normal_scores_lower_with_itself_in_the_memory() -> None:
    scores = [float(map_HW.max()) for map_HW in predictor().maps([part(index) for index in range(COUNT)])]
    assert np.mean(scores) < np.mean(bundle().manifest.held_out_scores)


@pytest.mark.parametrize("budget", [0.2, 0.1])
def test_few_normals_promise_nothing_and_state_an_interval(budget: float) -> None:
    manifest = fitted(budget=budget).manifest
    assert manifest.promised_false_reject is None
    assert manifest.false_rejects is not None
    assert manifest.false_rejects.low < budget < manifest.false_rejects.high


def test_marks_are_relative_to_their_peaks_and_to_normals_pixels() -> None:
    manifest = bundle().manifest
    assert manifest.footprint_px > 0
    assert manifest.image_threshold / 2 <= manifest.pixel_threshold <= manifest.image_threshold


def test_the_memory_is_bounded() -> None:
    memory = unpack(bundle().parts[MEMORY])
    assert max(len(bank) for name, bank in memory.items() if name.startswith("bank")) == TINY.places_max
    default = MemoryRecipe()
    assert 2 * default.places_max * sum((48, 120, 208)) < 32_000_000  # bytes, the widest backbone


def test_equal_normals_can_be_fitted() -> None:
    same = [part(0)] * 3
    made = fit(normals_of(same), false_reject_budget=0.5, recipe=TINY)
    assert np.isfinite(made.manifest.image_threshold)
    assert not open_bundle(made.manifest, made.parts).predict(same)[0].is_defect


def test_two_equal_normals_of_which_one_owns_the_whole_bank_give_a_threshold() -> None:
    grain = np.random.default_rng(0).integers(0, 256, (64, 64, 1), dtype=np.uint8)
    every = replace(TINY, candidates_max=1000)  # 64 places twice, of which the first 24 are the first normal's
    made = fit(normals_of([grain, grain]), false_reject_budget=0.5, recipe=every)
    assert np.isfinite([made.manifest.image_threshold, *made.manifest.held_out_scores]).all()


def test_normals_of_several_sizes_and_depths_can_be_fitted() -> None:
    wide = np.repeat(np.concatenate([part(1), part(2)], axis=1), 3, axis=2)
    deep = part(3).astype(np.uint16) * 257
    made = fit(normals_of([wide, deep]), false_reject_budget=0.5, recipe=TINY)
    shapes = [map_HW.shape for map_HW in open_bundle(made.manifest, made.parts).maps([wide, deep])]
    assert shapes == [(64, 128), (64, 64)]


def test_one_normal_is_refused_since_it_can_not_be_held_out() -> None:
    with pytest.raises(ValueError, match="1 normals; at least 2"):
        fit(normals_of([part(0)]), false_reject_budget=0.1, recipe=TINY)


def test_lines_share_one_backbone_in_memory() -> None:
    other = fitted(count=COUNT - 1)
    parts = {**other.parts, BACKBONE: bytes(bytearray(other.parts[BACKBONE]))}  # as if downloaded again
    one, two = (load(made.manifest, made_parts) for made, made_parts in ((bundle(), bundle().parts), (other, parts)))
    assert one._backbone is two._backbone


def test_a_recipe_comes_back_as_it_was() -> None:
    recipe = replace(TINY, backbone="lite2", stages=(2, 4), weights=(1.0, 0.5))
    assert MemoryRecipe.from_json(recipe.to_json()) == recipe


def test_a_recipe_of_other_code_is_refused() -> None:
    with pytest.raises(UnusableWeightsError, match=r"another version.*fit the teacher again"):
        MemoryRecipe.from_json(b'{"backbone":"lite0","input_px":384}')


def with_bad(*bad: int, count: int = 12) -> Bundle:
    images = [part(index, defect=index in bad) for index in range(count)]
    return fit(normals_of(images), false_reject_budget=BUDGET, recipe=TINY)


def test_defects_among_the_normals_are_left_out_by_name() -> None:
    manifest = with_bad(4).manifest
    assert manifest.left_out == (f"{4:032x}",)
    assert f"{4:032x}" in manifest.normals  # it was sent as one, and counts as one that was sent
    assert len(manifest.held_out_scores) == 11


def test_what_is_left_out_teaches_nothing() -> None:
    without = [index for index in range(12) if index != 4]
    names = [f"{index:032x}" for index in without]
    clean = fit(normals_of([part(index) for index in without], names), false_reject_budget=BUDGET, recipe=TINY)
    assert with_bad(4).parts == clean.parts
    assert clean.manifest.left_out == ()


def test_anomalous_positions_of_a_suspect_are_not_learned() -> None:
    images = [part(index, defect=index == 4) for index in range(12)]
    whole = replace(TINY, places_max=1000, candidates_max=1000)
    with torch.inference_mode():
        encoded = encode_normals(pretrained_backbone("lite0"), whole, images)
        complete = fit_memory(whole, encoded)
        high = 1.4 * float(complete.maps[4].max())  # as if all normals scored so: half of it makes a position suspect
        reduced = exclude_suspects(encoded, replace(complete, peaks=[high] * 12), [4])
        memory = fit_memory(whole, reduced).memory
    suspect_hw = reduced.each[4].suspect_hw
    assert suspect_hw is not None
    assert suspect_hw[2:4, 4:6].all()  # the square, in positions of 8 px
    assert not suspect_hw.all()
    assert [normal.suspect_hw is None for normal in reduced.each].count(False) == 1
    features = normalise_features(encoded.each[4].pooled[0][1][None], mean_D=memory["mean.s2"])[0]
    square = features.view(8, 8, -1)[3, 4][None]
    with_square, without = (
        float(nearest_distances(square, torch.nn.functional.normalize(one["bank.s2"].float(), dim=1)))
        for one in (complete.memory, memory)
    )
    assert without > 2 * with_square


def test_suspects_are_named_and_still_count_for_the_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outliers, "OUTLIER", 1e9)  # outliers become suspects
    made = with_bad(4)
    assert made.manifest.left_out == ()
    assert made.manifest.doubted == (f"{4:032x}",)
    assert len(made.manifest.held_out_scores) == 12
    assert Manifest.from_json(made.manifest.to_json()) == made.manifest
    assert made.parts[MEMORY] != with_bad(5).parts[MEMORY]


def about(images: list[NDArray[np.uint8]]) -> Bundle:
    return fit(normals_of(images), false_reject_budget=BUDGET, recipe=TINY)


def lit(seed: int, level: float, *, defect: bool = False) -> NDArray[np.uint8]:
    """A part under another lamp: darker or brighter as a whole."""
    return (part(seed, defect=defect).astype(np.float32) * level).clip(0, 255).astype(np.uint8)


def test_a_part_in_a_light_that_no_normal_had_passes_and_its_defect_does_not() -> None:
    made = about([lit(seed, 0.35 + 0.12 * seed) for seed in range(COUNT)])
    assert dict(made.manifest.metrics)["in_one_light"] == 1.0
    assert MemoryRecipe.from_json(made.parts[RECIPE]).lift == 0.0
    good, bad = open_bundle(made.manifest, made.parts).predict([lit(50, 0.25), lit(51, 0.25, defect=True)])
    assert not good.is_defect
    assert bad.score > 2 * good.score


def test_lines_under_one_lamp_are_left_in_their_light() -> None:
    assert dict(bundle().manifest.metrics)["in_one_light"] == 0.0
    assert MemoryRecipe.from_json(bundle().parts[RECIPE]).lift > 0


def bar(degrees: float, seed: int) -> NDArray[np.uint8]:
    """A bright bar through the middle at some angle, with grain, uint8 [64, 64, 1]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:64, :64] - 31.5
    angle = np.deg2rad(degrees)
    beside = np.abs(np.sin(angle) * x + np.cos(angle) * y)
    along = np.abs(np.cos(angle) * x - np.sin(angle) * y)
    pixels = 90 + 120 * ((beside < 6) & (along < 26)) + rng.normal(0, 2, (64, 64))
    return np.asarray(pixels, np.uint8)[:, :, None]


def test_parts_that_lie_at_any_angle_are_remembered_at_all_of_them() -> None:
    turned = about([bar(angle, seed) for seed, angle in enumerate((10, 95, 50, 160, 130, 75))])
    still = about([bar(20, seed) for seed in range(COUNT)])
    assert dict(turned.manifest.metrics)["turned"] == 1.0
    assert dict(still.manifest.metrics)["turned"] == 0.0
    assert len(unpack(turned.parts[MEMORY])["bank.s2"]) > len(unpack(still.parts[MEMORY])["bank.s2"])


def test_large_normals_are_shown_larger_unless_the_line_says_how_large() -> None:
    large = [np.kron(part(seed), np.ones((8, 8, 1), np.uint8)) for seed in range(3)]
    fit_large = partial(fit, normals_of(large), false_reject_budget=0.5, recipe=TINY)
    assert fit_large().manifest.input_px == 192  # a third of 512, in whole strides
    assert fit_large(input_px=64).manifest.input_px == 64
