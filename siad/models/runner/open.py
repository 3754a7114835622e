"""Choice of the runner for a bundle.

Of the runners that are installed, can run the bundle and give its golden scores, the fastest serves, as measured on
this machine. A runner that fails is refused, and the next one taken. torch is asked last and only where no other can:
it would cost seconds and hundreds of megabytes to import.

A further runner is a module beside ``torch.py`` and a line in ``RUNNERS``, or a module of an installed package that
names it in the entry-point group ``siad.runners``. The latter passes the same golden scores and takes part in the same
measurement; docs/models/runners.md has an example.
"""

import importlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import entry_points
from types import ModuleType
from typing import Final

import numpy as np
import structlog
from numpy.typing import NDArray

from siad.contracts.errors import OutOfMemoryError, UnusableWeightsError
from siad.contracts.manifest import Manifest
from siad.contracts.methods import REMOVED, TEACHERS
from siad.models.runner.port import DeviceError, Runner
from siad.vision.preprocess import input_size

log = structlog.get_logger()

AUTO: Final = "auto"  # the fastest, also one that screens
EXACT: Final = "exact"  # the fastest of those that score every image alike
TORCH: Final = "torch"
# Modules by name; the port lists their functions. Those with graphs come first.
RUNNERS: Final[Mapping[str, str]] = {
    "openvino": "siad.models.runner.openvino",
    "openvino-bf16": "siad.models.runner.openvino_bf16",
    "onnxruntime": "siad.models.runner.onnxruntime",
    TORCH: "siad.models.runner.torch",
}
GROUP: Final = "siad.runners"  # of entry points: name of a runner, and its module
CHOOSE: Final = f"fit another teacher: siad line put LINE --method NAME, NAME one of {', '.join(TEACHERS)}"
SCREENING: Final = frozenset({"openvino-bf16"})  # see ``siad.models.runner.screening``
_ROUNDS: Final = 5  # of measuring; the fastest counts, since other work on the machine only slows a run down

Check = Callable[[Runner], None]  # raises where a runner does not give the golden scores


@dataclass(slots=True)
class _ProcessState:
    """What holds for all bundles of the process."""

    threads: int = 0  # 0: no bound
    fastest: dict[tuple[str, int, tuple[str, ...]], str] = field(default_factory=dict)  # by method, input and runners


_STATE: Final = _ProcessState()


def limit_threads(count: int) -> None:
    """Bound the CPU threads of every later run in this process.

    Without a bound a runner uses every core. Runners that were made before keep theirs.
    """
    _STATE.threads = count
    for module in known_runners().values():
        if module in sys.modules:
            sys.modules[module].limit_threads(count)


def open_runner(manifest: Manifest, parts: Mapping[str, bytes], *, check: Check, wanted: str = AUTO) -> Runner:
    """Build the fastest runner of a bundle's network that passes a check.

    Args:
        manifest: of the bundle.
        parts: bytes by part name.
        check: compares a runner's scores with the golden ones.
        wanted: ``auto``, ``exact``, or the name of the one runner to use.

    Raises:
        UnusableWeightsError: no runner knows the method, or none that is installed can run the bundle.
        OutOfMemoryError: memory ran out.
        Exception: why the last runner was refused, if all were.
    """
    with_graph = [name for name in known_runners() if name != TORCH and _is_wanted(name, wanted)]
    passing, refused = _passing(with_graph, manifest, parts, check)
    if not passing and wanted in (AUTO, EXACT, TORCH):
        passing, refused_torch = _passing([TORCH], manifest, parts, check)
        refused |= refused_torch
    for name, error in refused.items():
        fields = {"line": manifest.line, "product": manifest.product, "weights": manifest.weights[:12]}
        log.warning("runner_refused", runner=name, reason=str(error) or type(error).__name__, **fields)
    if not passing:
        raise list(refused.values())[-1] if refused else _unusable(manifest, wanted)
    return _fastest(passing, manifest)


def _is_wanted(name: str, wanted: str) -> bool:
    return wanted in (AUTO, name) or (wanted == EXACT and name not in SCREENING)


def _passing(
    names: Sequence[str], manifest: Manifest, parts: Mapping[str, bytes], check: Check
) -> tuple[list[Runner], dict[str, Exception]]:
    """Build the runners that pass the check.

    Also give why others do not.

    If an earlier bundle of this kind was measured, its fastest runner is tried first, and alone where it passes.
    """
    able = [(name, module) for name in names if (module := _module(name)) is not None and module.can_run(manifest)]
    best = _STATE.fastest.get(_kind(manifest, [name for name, _ in able]))
    able.sort(key=lambda one: one[0] != best)
    passing: list[Runner] = []
    refused: dict[str, Exception] = {}
    for name, module in able:
        try:
            runner: Runner = module.make_runner(manifest, parts)
            check(runner)
        except (OutOfMemoryError, DeviceError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 - every library has its own; the last is raised if no runner passes
            refused[name] = error
            continue
        if name == best:
            return [runner], refused
        passing.append(runner)
    return passing, refused


@lru_cache(maxsize=1)
def known_runners() -> Mapping[str, str]:
    """List the modules of all runners by name.

    Those of this code come first; a package can't replace them.
    """
    installed = {point.name: point.module for point in entry_points(group=GROUP)}
    return {**RUNNERS, **{name: path for name, path in installed.items() if name not in RUNNERS}}


def require_known(name: str) -> str:
    """Accept the name of a runner, or of a choice among them.

    Raises:
        ValueError: no runner has it; names those that are known.
    """
    names = (AUTO, EXACT, *known_runners())
    if name not in names:
        msg = f"no runner is named {name!r}; known are {', '.join(names)}. Install its package, or name another"
        raise ValueError(msg)
    return name


def _module(name: str) -> ModuleType | None:
    """Import a runner's module; None where its library is not installed."""
    path = known_runners()[name]
    is_new = path not in sys.modules
    try:
        module = importlib.import_module(path)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "siad":
            raise
        return None
    except Exception as error:
        if name in RUNNERS:
            raise
        log.warning("runner_unavailable", runner=name, module=path, reason=f"{type(error).__name__}: {error}"[:500])
        return None
    if is_new and _STATE.threads:
        module.limit_threads(_STATE.threads)
    return module


def _fastest(runners: Sequence[Runner], manifest: Manifest) -> Runner:
    """Measure the runners on one input of this bundle's size.

    They take turns, so that other work on the machine slows all of them down.
    """
    if len(runners) == 1:
        return runners[0]
    height, width = input_size(1, 1, input_px=manifest.input_px)
    noise_BCHW = np.random.default_rng(0).normal(0, 0.5, (1, 3, height, width)).astype(np.float32)
    seconds = {runner.name: min(_time(runner, noise_BCHW) for _ in range(2)) for runner in runners}
    for _ in range(_ROUNDS):
        for runner in runners:
            seconds[runner.name] = min(seconds[runner.name], _time(runner, noise_BCHW))
    best = min(runners, key=lambda runner: seconds[runner.name])
    _STATE.fastest[_kind(manifest, [runner.name for runner in runners])] = best.name
    measured = {name: round(1000 * value, 1) for name, value in seconds.items()}
    log.info("runner_chosen", runner=best.name, method=manifest.method, input_px=manifest.input_px, ms=measured)
    return best


def _time(runner: Runner, images_BCHW: NDArray[np.float32]) -> float:
    began_s = time.perf_counter()
    runner.run(images_BCHW)
    return time.perf_counter() - began_s


def _kind(manifest: Manifest, names: Sequence[str]) -> tuple[str, int, tuple[str, ...]]:
    return (manifest.method, manifest.input_px, tuple(sorted(names)))


def _unusable(manifest: Manifest, wanted: str) -> UnusableWeightsError:
    name = f"weights {manifest.weights[:12]} are of method {manifest.method!r}"
    if wanted not in (AUTO, EXACT, TORCH):
        return UnusableWeightsError(
            f"{name}, and runner {wanted!r} can't run them: it is not installed, this CPU lacks what it needs, or the"
            " weights have no graph; set the runner to auto, or fit them again"
        )
    if _module(TORCH) is None:
        return UnusableWeightsError(
            f"{name} without a graph that a runner of this machine can use, and torch is not installed; fit them again,"
            " or install torch"
        )
    why = "which was removed" if manifest.method in REMOVED else "which no runner of this version knows"
    return UnusableWeightsError(f"{name}, {why}; {CHOOSE}")
