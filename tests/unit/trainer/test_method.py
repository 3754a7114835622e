"""Which method a line's segmenter is trained by."""

from services.trainer.domain.method import MethodChoice, choose_method
from tests.manifests import make_manifest


def test_a_line_gets_the_method_that_it_asks_for() -> None:
    teacher = make_manifest(method="feature-memory")
    assert choose_method("", teacher) == MethodChoice(method="residual")
    assert choose_method("unet", teacher) == MethodChoice(method="unet")


def test_a_teacher_that_cannot_be_corrected_gets_a_unet_and_the_reason() -> None:
    choice = choose_method("residual", make_manifest(method="student-teacher"))
    assert choice.method == "unet"
    assert "student-teacher" in choice.note
    assert choose_method("unet", make_manifest(method="student-teacher")).note == ""
