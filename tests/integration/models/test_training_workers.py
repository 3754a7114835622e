"""Training on several workers: equal on all of them, equal when repeated, and of every worker's examples."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import distributed
from torch.multiprocessing.spawn import spawn

from siad.models.residual import CorrectionSettings, new_residual
from siad.models.segmenter import new_segmenter
from siad.models.teachers.feature_memory import read_memory
from siad.models.training.lessons import LessonImage, LessonKind, make_views
from siad.models.training.recipe import ResidualRecipe, TrainingRecipe
from siad.models.training.residual import ResidualTraining
from siad.models.training.segmenter import SegmenterTraining
from siad.models.training.workers import WorkerGroup
from tests.integration.models.test_training import EXAMPLES
from tests.synthetic import bundle, part_image

RECIPE = ResidualRecipe(steps=6, steps_each=3, batch=4, synthetic_max=4)
CPU = torch.device("cpu")


def lessons() -> list[LessonImage]:
    goods = [LessonImage(image_HWC=part_image(index), kind=LessonKind.NORMAL) for index in range(4)]
    return [*goods, *(LessonImage(image_HWC=part_image(9, defect=True), kind=LessonKind.MARKED) for _ in range(3))]


def train_residual() -> dict[str, torch.Tensor]:
    made = bundle()
    settings = CorrectionSettings(threshold=made.manifest.image_threshold, trust=1.0)
    training = ResidualTraining(new_residual(read_memory(made.parts), settings), RECIPE, CPU)
    workers = training.workers
    views = make_views(training.segmenter, workers.share(lessons()), RECIPE, input_px=64, workers=workers)
    while not training.is_done:
        training.run_epoch(views)
    return training.finish().decoder.state_dict()


def train_unet() -> dict[str, torch.Tensor]:
    """Seven examples: one worker has four of them, the other three, and both must do as many steps."""
    training = SegmenterTraining(new_segmenter(), TrainingRecipe(epochs=2, batch=2, train_s=1e9), CPU)
    while not training.is_done:
        training.run_epoch(EXAMPLES[:7])
    return training.segmenter.decoder.state_dict()


def train_to_the_limit() -> dict[str, torch.Tensor]:
    """The clock of one worker is slower; both must end at the same step."""
    training = SegmenterTraining(new_segmenter(), TrainingRecipe(epochs=50, batch=2, train_s=30.0), CPU)
    ticks = iter(range(0, 100_000, 1 + training.workers.rank))
    while not training.is_done:
        training.run_epoch(EXAMPLES, clock=lambda: float(next(ticks)))
    return {"epoch": torch.tensor(training.epoch), "seconds": torch.tensor(training.seconds)}


TRAININGS = {"residual": train_residual, "unet": train_unet, "limit": train_to_the_limit}


def work(rank: int, size: int, folder: str) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=size)
    assert WorkerGroup.current() == WorkerGroup(rank, size)
    for name, train in TRAININGS.items():
        torch.save(train(), f"{folder}/{name}-{rank}.pt")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two trainings of two workers each."""
    folders = [tmp_path_factory.mktemp("workers") for _ in range(2)]
    for folder in folders:
        spawn(work, args=(2, str(folder)), nprocs=2)  # type: ignore[no-untyped-call]
    return folders


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", TRAININGS)
def test_both_workers_have_the_same_weights_and_so_has_the_same_training_again(name: str, trained: list[Path]) -> None:
    states = [torch.load(folder / f"{name}-{rank}.pt") for folder in trained for rank in range(2)]
    for key, tensor in states[0].items():
        for other in states[1:]:
            assert torch.equal(other[key], tensor), key


def test_one_worker_gives_other_weights_than_two(trained: list[Path]) -> None:
    two = torch.load(trained[0] / "residual-0.pt")
    one = train_residual()
    assert any(not torch.equal(one[key], tensor) for key, tensor in two.items())


def test_items_are_shared_without_loss_and_none_goes_without() -> None:
    groups = [WorkerGroup(rank, 3) for rank in range(3)]
    shares = [group.share(list(range(10))) for group in groups]
    assert sorted(item for share in shares for item in share) == list(range(10))
    assert [group.share([7, 8]) for group in groups] == [[7, 8]] * 3
    assert [group.part(12) for group in (WorkerGroup(), groups[0], replace(groups[0], size=5))] == [12, 4, 3]


def test_the_shares_of_synthetic_defects_differ_between_workers() -> None:
    made = bundle()
    settings = CorrectionSettings(threshold=made.manifest.image_threshold, trust=1.0)
    network = new_residual(read_memory(made.parts), settings)
    goods = lessons()[:1]
    masks = [
        make_views(network, goods, RECIPE, input_px=64, workers=WorkerGroup(rank, 2))[1].target_hw.numpy()
        for rank in range(2)
    ]
    assert not np.array_equal(masks[0], masks[1])
