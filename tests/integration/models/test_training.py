"""Learning from pseudo-masks: what counts, what does not, and that a crash loses nothing."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from siad.models.segmenter import new_segmenter
from siad.models.training.augment import TrainingExample, add_defect, mirror
from siad.models.training.loss import image_scores, segmentation_loss
from siad.models.training.recipe import TrainingRecipe
from siad.models.training.segmenter import SegmenterTraining, from_bytes, to_bytes

RECIPE = TrainingRecipe(epochs=4, batch=4, train_s=60.0)
CPU = torch.device("cpu")


def example(seed: int, *, defect: bool) -> TrainingExample:
    rng = np.random.default_rng(seed)
    image_CHW = rng.normal(120, 6, (3, 64, 64))
    mask_HW = np.zeros((64, 64), np.uint8)
    if defect:
        top, left = rng.integers(8, 40, 2)
        mask_HW[top : top + 16, left : left + 16] = 255
        image_CHW[:, mask_HW > 0] = 240
    return TrainingExample(image_CHW=image_CHW.astype(np.uint8), mask_HW=mask_HW, weight=1.0)


EXAMPLES = [example(seed, defect=seed % 2 == 0) for seed in range(8)]


def test_it_learns_to_find_what_the_masks_mark() -> None:
    training = SegmenterTraining(new_segmenter(), TrainingRecipe(epochs=6, batch=4), CPU)
    losses = [training.run_epoch(EXAMPLES) for _ in range(6)]
    assert losses[-1] < 0.8 * losses[0]
    images = torch.from_numpy(np.stack([example(90, defect=True).image_CHW, example(91, defect=False).image_CHW]))
    bad, good = image_scores(training.segmenter.score(from_bytes(images))).tolist()
    assert bad > good + 0.5


def test_a_resumed_training_goes_on_where_the_state_was_taken() -> None:
    training = SegmenterTraining(new_segmenter(), RECIPE, CPU)
    training.run_epoch(EXAMPLES)
    resumed = SegmenterTraining(new_segmenter(seed=9), RECIPE, CPU)
    resumed.restore(training.state())
    assert (resumed.epoch, resumed.seconds) == (1, training.seconds)
    images = from_bytes(torch.from_numpy(EXAMPLES[0].image_CHW[None]))
    assert torch.equal(resumed.segmenter.score(images), training.segmenter.score(images))
    assert resumed.run_epoch(EXAMPLES) > 0
    assert resumed.epoch == 2


def test_training_ends_when_its_seconds_are_used_up() -> None:
    ticks = iter(float(second) for second in range(0, 1_000, 5))
    training = SegmenterTraining(new_segmenter(), TrainingRecipe(epochs=100, batch=1, train_s=12.0), CPU)
    training.run_epoch(EXAMPLES, clock=lambda: next(ticks))
    assert training.is_done
    assert training.epoch == 1
    assert training.seconds == 15.0  # the first look is not counted; three steps of five seconds are


def test_training_goes_without_defects_and_without_normals() -> None:
    for kind in (True, False):
        training = SegmenterTraining(new_segmenter(), RECIPE, CPU)
        assert training.run_epoch([example(seed, defect=kind) for seed in range(3)]) > 0


def test_the_encoder_stays_as_imagenet_left_it() -> None:
    training = SegmenterTraining(new_segmenter(), RECIPE, CPU)
    before = {name: tensor.clone() for name, tensor in training.segmenter.backbone.state_dict().items()}
    training.run_epoch(EXAMPLES)
    assert all(torch.equal(before[name], now) for name, now in training.segmenter.backbone.state_dict().items())


def loss_of(logits: torch.Tensor, mask: torch.Tensor, *, weight: float = 1.0) -> float:
    return float(segmentation_loss(logits, mask, torch.full((len(mask),), weight), TrainingRecipe(image_share=0.0)))


def marked() -> torch.Tensor:
    mask = torch.zeros(1, 64, 64, dtype=torch.uint8)
    mask[:, 16:40, 16:40] = 255
    return mask


def test_the_rim_of_a_mask_counts_for_nothing() -> None:
    right = torch.where(functional.avg_pool2d((marked() > 0).float()[:, None], 8)[:, 0] > 0, 5.0, -5.0)
    grown = right.clone()
    grown[:, 1:6, 1:6] = 5.0  # one place more to every side
    assert loss_of(grown, marked()) == pytest.approx(loss_of(right, marked()), rel=1e-4)
    grown[:, 0:7, 0:7] = 5.0
    assert loss_of(grown, marked()) > loss_of(right, marked()) + 0.1


def test_an_example_of_weight_0_teaches_nothing() -> None:
    both = torch.cat([marked(), torch.zeros_like(marked())])
    logits = torch.zeros(2, 8, 8, requires_grad=True)
    segmentation_loss(logits, both, torch.tensor([0.0, 1.0]), TrainingRecipe(image_share=0.0)).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert not logits.grad[0].any()
    assert logits.grad[1].any()


def test_a_scratch_of_two_pixels_is_not_lost_between_places() -> None:
    scratch = torch.zeros(1, 64, 64, dtype=torch.uint8)
    scratch[:, 30:32, :] = 255
    logits = torch.zeros(1, 8, 8, requires_grad=True)
    segmentation_loss(logits, scratch, torch.ones(1), TrainingRecipe()).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert (logits.grad[0, 3] < 0).all()  # it is to rise along the scratch


def test_a_made_defect_changes_the_image_where_its_mask_says() -> None:
    rng = np.random.default_rng(0)
    for seed in range(30):
        good = example(seed, defect=False)
        made = add_defect(good, rng)
        changed = np.abs(made.image_CHW.astype(int) - good.image_CHW).max(0) > 40
        assert made.mask_HW.any()
        near = functional.max_pool2d(torch.from_numpy(made.mask_HW)[None].float(), 9, stride=1, padding=4)[0] > 0
        assert not (changed & ~near.numpy()).any()


def test_an_image_and_its_mask_are_mirrored_together() -> None:
    shown = [mirror(EXAMPLES[0], np.random.default_rng(seed)) for seed in range(24)]
    assert all((one.image_CHW[0][one.mask_HW > 0] > 200).all() for one in shown)
    assert len({one.mask_HW.tobytes() for one in shown}) == 4


def test_bytes_come_back_as_what_preprocessing_gave() -> None:
    pixels = np.arange(256, dtype=np.float32).reshape(1, 16, 16)
    given = ((pixels - 127) / 128).astype(np.float32)
    assert np.array_equal(from_bytes(torch.from_numpy(to_bytes(given))).numpy(), given)


def ignoring(logits_inside: float) -> tuple[torch.Tensor, torch.Tensor]:
    """A marked square and, apart from it, a place to ignore where the network says as it likes."""
    mask = marked()
    mask[:, 48:64, 48:64] = 128
    logits = torch.full((1, 8, 8), -3.0)
    logits[:, 6:8, 6:8] = logits_inside
    return logits.requires_grad_(), mask


@pytest.mark.parametrize("image_share", [0.0, 0.5])
def test_pixels_to_ignore_teach_nothing_whatever_is_said_there(image_share: float) -> None:
    losses = []
    for inside in (-3.0, 0.0, 8.0):
        logits, mask = ignoring(inside)
        loss = segmentation_loss(logits, mask, torch.ones(1), TrainingRecipe(image_share=image_share))
        loss.backward()  # type: ignore[no-untyped-call]
        losses.append(float(loss.detach()))
        assert logits.grad is not None
        assert not logits.grad[:, 6:8, 6:8].any()
        assert logits.grad[:, 2:5, 2:5].any()
    assert losses == pytest.approx([losses[0]] * 3)


def test_a_good_example_with_pixels_to_ignore_is_still_a_good_one() -> None:
    rng = np.random.default_rng(0)
    good = example(1, defect=False)
    mask_HW = good.mask_HW.copy()
    mask_HW[:16] = 128
    unsure = TrainingExample(image_CHW=good.image_CHW, mask_HW=mask_HW, weight=1.0)
    assert SegmenterTraining(new_segmenter(), RECIPE, CPU).run_epoch([unsure, example(3, defect=False)]) > 0
    made = add_defect(unsure, rng)
    assert set(np.unique(made.mask_HW)) <= {0, 128, 255}
    assert (made.mask_HW == 255).any()
