"""Images of the demo: solar cells from the package ``elpv-dataset``.

Electroluminescence images.

Buerhop-Lutz et al. 2018, Deitsch et al. 2019; CC BY-NC-SA 4.0. 300x300 px, each with a cell type and the probability of
a defect according to experts (0, 1/3, 2/3, 1).
"""

import importlib.util
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

LINE, PRODUCT = "solar-mono", "mono-cell"  # that the cells are sent to
NORMAL, DEFECTIVE = 0.0, 1.0  # the two labels of which the experts were certain


@dataclass(frozen=True, slots=True)
class Cell:
    """One image of the set."""

    path: Path
    probability: float  # of a defect, according to the experts

    @property
    def serial(self) -> str:
        """Serial of the part: the name of its file."""
        return self.path.stem


@dataclass(frozen=True, slots=True)
class DemoShift:
    """Cells of one demo: normals for the teacher, then the stream.

    Those of the test are never sent.
    """

    normals: tuple[Cell, ...]
    stream: tuple[Cell, ...]
    test: tuple[Cell, ...] = ()


def find_cells(folder: Path | None = None) -> list[Cell]:
    """List the monocrystalline cells, in the order of the set's own table.

    Raises:
        FileNotFoundError: the package is not installed.
    """
    data = folder or _package_data()
    with (data / "labels.csv").open() as table:
        rows = [line.split() for line in table if line.strip()]
    return [Cell(data / path, float(probability)) for path, probability, kind in rows if kind == "mono"]


def draw_shift(cells: Sequence[Cell], *, normals: int, stream: int, seed: int, test: int = 0) -> DemoShift:
    """Draw normals among certainly good cells, a test, and a stream.

    The same seed draws the same cells. The test has ``test`` certainly good and as many certainly defective cells.

    Raises:
        ValueError: there are too few cells.
    """
    rng = random.Random(seed)  # noqa: S311 - a shuffle, no secret
    good = [cell for cell in cells if cell.probability == NORMAL]
    drawn = rng.sample(good, normals)
    rest = [cell for cell in cells if cell not in set(drawn)]
    kept: list[Cell] = []
    for label in (NORMAL, DEFECTIVE) if test else ():
        kept += rng.sample([cell for cell in rest if cell.probability == label], test)
    rest = [cell for cell in rest if cell not in set(kept)]
    if stream > len(rest):
        after = f"{normals} normals" + (f" and {len(kept)} cells of the test" if kept else "")
        msg = f"{stream} cells requested, but {len(rest)} are left after {after}; nothing was started"
        raise ValueError(msg)
    return DemoShift(tuple(drawn), tuple(rng.sample(rest, stream)), tuple(kept))


def _package_data() -> Path:
    spec = importlib.util.find_spec("elpv_dataset")
    if spec is None or spec.origin is None:
        msg = "the demo's images, the package elpv-dataset, are not installed; install them: pip install 'siad[demo]'"
        raise FileNotFoundError(msg)
    return Path(spec.origin).parent / "data"
