"""OpenVINO runner that screens in BF16, on CPUs that compute in it.

The network is compiled twice. What BF16 does not find clearly good is scored again in float32
(``siad.models.runner.screening``).
"""

from collections.abc import Mapping
from typing import Final

import openvino
from safetensors.numpy import load

from siad.contracts.manifest import Manifest
from siad.models.bundle import GOLDEN
from siad.models.graph import has_graph
from siad.models.runner import openvino as exact
from siad.models.runner.port import Runner
from siad.models.runner.screening import ScreeningRunner, doubt_of

NAME: Final = "openvino-bf16"

limit_threads = exact.limit_threads


def can_run(manifest: Manifest) -> bool:
    """Whether a bundle has a graph, and this CPU computes in BF16."""
    return has_graph(manifest) and "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def make_runner(manifest: Manifest, parts: Mapping[str, bytes]) -> Runner:
    """Build the network of a bundle's graph in both precisions.

    Any exception except those of the port means that its parts don't fit.
    """
    del manifest
    return ScreeningRunner(
        name=NAME,
        screen=exact.compile_graph(parts, precision="bf16", name=NAME),
        exact=exact.compile_graph(parts, precision="f32", name="openvino", keeps_buffers=False),
        doubt=doubt_of(load(parts[GOLDEN])),
    )
