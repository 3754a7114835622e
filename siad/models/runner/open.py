"""Choice of the runner for a bundle.

The first of the list that can run it.

A further runner (ONNX, OpenVINO) is a module beside ``torch.py`` and a line in ``RUNNERS``.
"""

import importlib
from collections.abc import Mapping
from typing import Final

from siad.contracts.errors import UnusableWeightsError
from siad.contracts.manifest import Manifest
from siad.contracts.methods import REMOVED, TEACHERS
from siad.models.runner.port import Runner

RUNNERS: Final = ("siad.models.runner.torch",)  # modules; the port lists their functions; preferred first
CHOOSE: Final = f"fit another teacher: siad line put LINE --method NAME, NAME one of {', '.join(TEACHERS)}"


def limit_threads(count: int) -> None:
    """Bound the CPU threads of every later run in this process.

    Without a bound a runner uses every core.
    """
    for name in RUNNERS:
        importlib.import_module(name).limit_threads(count)


def open_runner(manifest: Manifest, parts: Mapping[str, bytes]) -> Runner:
    """Build the runner of a bundle's network.

    Raises:
        UnusableWeightsError: no runner knows the method.
    """
    for name in RUNNERS:
        module = importlib.import_module(name)
        if module.can_run(manifest):
            runner: Runner = module.make_runner(manifest, parts)
            return runner
    why = "which was removed" if manifest.method in REMOVED else "which no runner of this version knows"
    msg = f"weights {manifest.weights[:12]} are of method {manifest.method!r}, {why}; {CHOOSE}"
    raise UnusableWeightsError(msg)
