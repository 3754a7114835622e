"""The cells that the demo streams: electroluminescence images of solar cells, from the package ``elpv-dataset``.

Buerhop-Lutz et al. 2018, Deitsch et al. 2019; CC BY-NC-SA 4.0. 300x300 px, each with the probability of a defect as
experts saw it (0, 1/3, 2/3, 1) and a cell type.
"""

import importlib.util
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

NORMAL, DEFECTIVE = 0.0, 1.0  # the two labels on which the experts were sure


@dataclass(frozen=True, slots=True)
class Cell:
    """One image of the set."""

    path: Path
    probability: float  # of a defect, by the experts

    @property
    def serial(self) -> str:
        """The part's own number: the name of its file."""
        return self.path.stem


@dataclass(frozen=True, slots=True)
class DemoShift:
    """What one demo sends: normals to learn from, then the stream."""

    normals: tuple[Cell, ...]
    stream: tuple[Cell, ...]


def find_cells(folder: Path | None = None) -> list[Cell]:
    """List the monocrystalline cells, in the order of the set's own table.

    Raises:
        FileNotFoundError: the package is not installed.
    """
    data = folder or _installed()
    with (data / "labels.csv").open() as table:
        rows = [line.split() for line in table if line.strip()]
    return [Cell(data / path, float(probability)) for path, probability, kind in rows if kind == "mono"]


def draw_shift(cells: Sequence[Cell], *, normals: int, stream: int, seed: int) -> DemoShift:
    """Choose the normals among the surely good cells; mix the rest into a stream, the same for the same seed.

    Raises:
        ValueError: there are not that many cells.
    """
    rng = random.Random(seed)  # noqa: S311 - a shuffle, no secret
    good = [cell for cell in cells if cell.probability == NORMAL]
    taught = rng.sample(good, normals)
    rest = [cell for cell in cells if cell not in set(taught)]
    if stream > len(rest):
        msg = f"{stream} cells asked for, {len(rest)} are left after {normals} normals"
        raise ValueError(msg)
    return DemoShift(tuple(taught), tuple(rng.sample(rest, stream)))


def _installed() -> Path:
    spec = importlib.util.find_spec("elpv_dataset")
    if spec is None or spec.origin is None:
        msg = "the package elpv-dataset is not installed; the demo streams its images: pip install 'siad[demo]'"
        raise FileNotFoundError(msg)
    return Path(spec.origin).parent / "data"
