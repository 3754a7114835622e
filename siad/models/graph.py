"""Graphs: the parts of a bundle that serve without torch.

A graph is an ONNX file for one image of any size: ``images`` float32 [1, 3, H, W] in, ``scores`` float32 [1, h, w] out.
It holds operations and small constants. Weights stay in the parts that ``load`` reads, and the graph refers to their
bytes (ONNX external data), so nothing is stored twice and lines still share the file of their backbone.
"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from siad.contracts.json_codec import JsonRecord
from siad.contracts.manifest import Manifest

GRAPH: Final = "graph.onnx"
GRAPH_SETTINGS: Final = "graph.json"
INPUT: Final = "images"
OUTPUT: Final = "scores"
GRAPH_PARTS: Final = (GRAPH, GRAPH_SETTINGS)


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphSettings(JsonRecord):
    """What a runner must know of a graph before it runs it."""

    needs_whole_input: bool  # as ``Runner.needs_whole_input``


def has_graph(manifest: Manifest) -> bool:
    """Whether a bundle has a graph; those of earlier versions have none."""
    return {part.name for part in manifest.parts}.issuperset(GRAPH_PARTS)


@contextmanager
def graph_file(parts: Mapping[str, bytes]) -> Iterator[Path]:
    """Write a graph and the weights that it refers to.

    The folder is removed at the end; a library has read or mapped the files by then.

    Raises:
        OSError: the folder of temporary files is full or read-only.
    """
    with tempfile.TemporaryDirectory(prefix="siad-graph-") as folder:
        for name, data in parts.items():
            if name == GRAPH or name.endswith(".safetensors"):
                (Path(folder) / name).write_bytes(data)
        yield Path(folder) / GRAPH
