"""Which runner serves: the fastest of those that give the golden scores, and never one that does not."""

import time
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from siad.contracts.errors import GoldenError, OutOfMemoryError, UnusableWeightsError
from siad.models.runner import open as choice
from siad.models.runner.open import AUTO, open_runner
from siad.models.runner.port import Runner
from tests.manifests import make_manifest
from tests.runners import BrightnessRunner

MANIFEST = make_manifest(input_px=64)


class TimedRunner(BrightnessRunner):
    """Takes a stated time for a run."""

    takes_s = 0.0

    def run(self, images_BCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        time.sleep(self.takes_s)
        return super().run(images_BCHW)


class Machine:
    """Runners that are installed on a machine, by name: how long a run takes, or why none can be made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **runners: float | Exception | None) -> None:
        self.runners, self.made, self.threads = runners, list[str](), dict[str, int]()
        monkeypatch.setattr(choice, "_STATE", choice._ProcessState())
        monkeypatch.setattr(choice, "_module", self.module)

    def module(self, name: str) -> ModuleType | None:
        if name not in self.runners:
            return None

        def make(manifest: Any, parts: Any) -> Runner:
            self.made.append(name)
            behaviour = self.runners[name]
            if isinstance(behaviour, Exception):
                raise behaviour
            runner = TimedRunner(name=name)
            runner.takes_s = behaviour or 0.0
            return runner

        can_run = self.runners[name] is not None
        return cast("ModuleType", SimpleNamespace(can_run=lambda manifest: can_run, make_runner=make))


def passes(runner: Runner) -> None:
    """A check that every runner passes."""


def opened(check: choice.Check = passes, *, wanted: str = AUTO) -> str:
    return open_runner(MANIFEST, {}, check=check, wanted=wanted).name


@pytest.mark.parametrize(("openvino", "onnxruntime"), [(0.001, 0.02), (0.02, 0.001)])
def test_the_fastest_runner_serves(monkeypatch: pytest.MonkeyPatch, openvino: float, onnxruntime: float) -> None:
    Machine(monkeypatch, openvino=openvino, onnxruntime=onnxruntime, torch=0.0)
    assert opened() == ("openvino" if openvino < onnxruntime else "onnxruntime")


def test_torch_is_not_even_imported_where_a_graph_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, openvino=0.01, torch=0.0)
    assert opened() == "openvino"
    assert machine.made == ["openvino"]


def test_a_bundle_without_a_graph_is_served_by_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    Machine(monkeypatch, openvino=None, onnxruntime=None, torch=0.0)
    assert opened() == "torch"


def test_a_runner_with_other_scores_is_refused_and_the_next_one_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    Machine(monkeypatch, openvino=0.0, onnxruntime=0.01, torch=0.0)

    def check(runner: Runner) -> None:
        if runner.name == "openvino":
            raise GoldenError("other scores")

    assert opened(check) == "onnxruntime"


def test_torch_serves_where_every_graph_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    Machine(monkeypatch, openvino=RuntimeError("bad graph"), onnxruntime=ValueError("bad graph"), torch=0.0)
    assert opened() == "torch"


def test_weights_that_every_runner_refuses_are_unusable(monkeypatch: pytest.MonkeyPatch) -> None:
    Machine(monkeypatch, openvino=0.0, torch=0.0)

    def check(runner: Runner) -> None:
        raise GoldenError(f"other scores ({runner.name})")

    with pytest.raises(GoldenError, match="torch"):
        opened(check)


def test_memory_that_runs_out_refuses_no_runner(monkeypatch: pytest.MonkeyPatch) -> None:
    Machine(monkeypatch, openvino=OutOfMemoryError("none left"), onnxruntime=0.0, torch=0.0)
    with pytest.raises(OutOfMemoryError):
        opened()


def test_a_second_bundle_of_the_kind_builds_only_the_fastest(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, openvino=0.02, onnxruntime=0.0)
    assert opened() == "onnxruntime"
    machine.made.clear()
    assert opened() == "onnxruntime"
    assert machine.made == ["onnxruntime"]


def test_the_wanted_runner_serves_however_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, openvino=0.0, onnxruntime=0.02, torch=0.05)
    assert [opened(wanted=name) for name in ("onnxruntime", "torch")] == ["onnxruntime", "torch"]
    assert machine.made == ["onnxruntime", "torch"]


@pytest.mark.parametrize(
    ("installed", "wanted", "said"),
    [
        ({"torch": 0.0}, "openvino", "runner 'openvino' can't run them: it is not installed"),
        ({"openvino": None, "torch": 0.0}, "openvino", "the weights have no graph; set the runner to auto"),
        ({"openvino": None}, AUTO, "torch is not installed; fit them again, or install torch"),
        ({"torch": None}, AUTO, "which no runner of this version knows"),
    ],
)
def test_where_none_can_run_the_reason_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, installed: dict[str, Any], wanted: str, said: str
) -> None:
    Machine(monkeypatch, **installed)
    with pytest.raises(UnusableWeightsError, match=said):
        opened(wanted=wanted)
