"""At which size a segmenter is shown images."""

import pytest

from services.trainer.domain.size import SizePolicy
from services.trainer.settings import TrainerSettings


@pytest.mark.parametrize(
    ("teacher_px", "side_px"), [(128, 256), (384, 256), (416, 288), (736, 480), (960, 640), (1536, 640), (4096, 640)]
)
def test_is_two_thirds_of_the_teacher_s_between_least_and_most(teacher_px: int, side_px: int) -> None:
    assert SizePolicy().side_px(teacher_px) == side_px
    assert side_px % 32 == 0


@pytest.mark.parametrize(("teacher_px", "side_px"), [(32, 32), (64, 32), (384, 256), (416, 256), (1536, 640)])
def test_a_fast_segmenter_is_shown_less_than_its_teacher(teacher_px: int, side_px: int) -> None:
    assert SizePolicy().fast_px(teacher_px) == side_px


def test_seconds_go_with_the_area() -> None:
    assert SizePolicy().train_s(256, 45.0) == 45.0
    assert SizePolicy().train_s(512, 45.0) == 180.0


def test_a_least_over_the_most_is_the_most_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIAD_TRAINER_INPUT_PX", "768")
    size = TrainerSettings().size
    assert [size.side_px(teacher_px) for teacher_px in (384, 2048)] == [768, 768]
