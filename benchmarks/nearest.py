"""Thresholds that start from the nearest teacher, on kept scores.

    python -m benchmarks.calibration ../shared/data --seeds 5 --keep var/scores
    python -m benchmarks.nearest ../shared/data var/scores

Every split is a teacher of ten normals (cells: 20). A line whose threshold 100 captures of a stream have moved is the
nearest teacher of a new line: of the same set with other normals, of the other kind of solar cells, or of an unlike
set. First the distances between the sets' normals, then for each kind of pair: false rejects of the new line on unseen
good images, misses minus those at the true quantile (the gap), and the mean error of the log threshold, from the
normals alone and with the start. About a minute.
"""

import argparse
import itertools
import math
import pickle
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.calibration import BUDGET, Scores, Split, image_set
from benchmarks.sharpening import settled_after_stream, stream_of
from siad.contracts.manifest import NearestTeacher
from siad.models.teachers.normals_summary import read_summary, summarise
from siad.vision.calibration import calibrate, score_exceeded_by
from siad.vision.images import decode_image
from siad.vision.nearest_teacher import DISTANCE_MAX, declined_for

DRAWS, DRAWN = 3, 10  # of normals of each set, for the distances


@dataclass(frozen=True, slots=True)
class Line:
    """A split whose threshold a stream has moved."""

    split: Split
    threshold: float
    rate: float

    @property
    def goods(self) -> Scores:
        """Scores of all unseen good images."""
        return np.concatenate([self.split.good_N, self.split.further_good_N])

    @property
    def defects(self) -> Scores:
        """Scores of all defective images."""
        return np.concatenate([self.split.defect_N, self.split.further_defect_N])


def distances_of(data: Path, names: Sequence[str]) -> dict[tuple[str, str], float]:
    """Measure distances between sets, and between draws of one."""
    means: dict[str, list[NDArray[np.float32]]] = {}
    for name in names:
        normals = image_set(data, name).normals
        order = np.random.default_rng(0).permutation(len(normals))
        means[name] = []
        for draw in range(DRAWS):
            drawn = [normals[index] for index in order[draw * DRAWN :][:DRAWN]]
            means[name].append(read_summary(summarise([decode_image(path.read_bytes()) for path in drawn])))
    found = {}
    for one, other in itertools.product(names, names):
        pairs = [(a, b) for a, b in itertools.product(range(DRAWS), range(DRAWS)) if one != other or a != b]
        found[one, other] = float(np.mean([np.linalg.norm(means[one][a] - means[other][b]) for a, b in pairs]))
    return found


def start_of(new: Line, other: Line, distance: float) -> NearestTeacher:
    """Take another line's threshold as the start, or decline."""
    nearest = NearestTeacher(
        line="other", product="p", weights="", distance=distance, threshold=other.threshold, rate=other.rate
    )
    if distance >= DISTANCE_MAX:
        return replace(nearest, threshold=0.0, declined="unlike")
    return declined_for(nearest, score_exceeded_by(new.split.held_out.tolist(), other.rate, is_left_one_out=True))


def figures(line: Line, nearest: NearestTeacher | None) -> tuple[float, float, float, float]:
    """False rejects, gap, error of the log threshold, whether it started."""
    held_out = line.split.held_out.tolist()
    threshold = calibrate(held_out, budget=BUDGET, is_left_one_out=True, nearest=nearest).threshold
    true = float(np.quantile(line.goods, 1 - BUDGET))
    misses, best = (float(np.mean(line.defects < cut)) for cut in (threshold, true))
    return (
        float(np.mean(line.goods >= threshold)),
        misses - best,
        math.log(threshold / true),
        float(nearest is not None and not nearest.declined),
    )


def pairs_of(
    lines: Mapping[str, Sequence[Line]], distances: Mapping[tuple[str, str], float]
) -> Iterator[tuple[str, str, Line, NearestTeacher]]:
    """Pair every line with every other one.

    Gives kind of pair, set of the new line, the line, and its start.
    """
    for (one, of_one), (other, of_other) in itertools.product(lines.items(), lines.items()):
        distance = distances[one, other]
        kind = "one product" if one == other else "like" if distance < DISTANCE_MAX else "unlike"
        for new, old in itertools.product(of_one, of_other):
            if new is not old:
                yield kind, one, new, start_of(new, old, distance)


def show(pairs: Iterator[tuple[str, str, Line, NearestTeacher]]) -> None:
    """Print the rows of each kind of pair."""
    rows: dict[str, dict[str, dict[str, list[tuple[float, ...]]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(list))
    )
    for kind, name, line, nearest in pairs:
        rows[kind]["normals alone"][name].append(figures(line, None))
        rows[kind]["with the start"][name].append(figures(line, nearest))
    for kind, of_kind in rows.items():
        for rule, sets in of_kind.items():
            rates, gaps, _, started = np.array([np.mean(of, 0) for of in sets.values()]).T
            errors = np.array([row[2] for of in sets.values() for row in of])
            print(f"{kind}, {rule}: false rejects {rates.mean():.3f}, worst set {rates.max():.3f}; ", end="")
            print(f"gap {gaps.mean():+.3f}, worst set {gaps.max():+.3f}; ", end="")
            print(f"error {np.sqrt(np.mean(errors**2)):.3f} of {len(errors)}, started {started.mean():.2f}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the kept scores, measure distances and print the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of sets in MVTec-AD's layout")
    parser.add_argument("scores", type=Path, help="folder that benchmarks.calibration --keep wrote")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    lines: dict[str, list[Line]] = defaultdict(list)
    for path in sorted(options.scores.glob("*.pickle")):
        split: Split = pickle.loads(path.read_bytes())  # noqa: S301 - written by benchmarks.calibration
        found = settled_after_stream(split, stream_of(split, seed=0))
        lines[path.stem.rpartition("-")[0]].append(Line(split, found.threshold, found.rate.estimated))
    distances = distances_of(options.data, list(lines))
    for one, other in itertools.combinations_with_replacement(lines, 2):
        print(f"distance {one}, {other}: {distances[one, other]:.2f}")
    show(pairs_of(lines, distances))
    return 0


if __name__ == "__main__":
    sys.exit(main())
