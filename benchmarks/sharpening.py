"""Thresholds after a stream and after answers, on kept scores.

    python -m benchmarks.calibration ../shared/data --seeds 5 --keep var/scores
    python -m benchmarks.sharpening var/scores

Every split is a teacher of ten normals (cells: 20). Of the images that it scored, 100 with 20% defective are a stream,
without labels; the others measure. The rows: normals alone; after the stream; after 10 answers about the captures of
that stream that are nearest the threshold; after both. The answers are the truth of each image. Where a set has too few
images for such a stream and a test, the stream is as long as they allow, and 100 are drawn from it again.

False rejects are those of the good images that measure; the gap is misses minus those at the true quantile of all good
images of the set. Coverage is the share of splits whose rate lies in the stated interval, widened to whole images.
"""

import argparse
import pickle
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.calibration import BUDGET, Scores, Split
from siad.contracts.corrections import CorrectionVerdict, Selection
from siad.contracts.methods import LEFT_ONE_OUT
from siad.vision.sharpening import ScoredAnswer, SharpenedThreshold, ThresholdEvidence, sharpen

STREAM, DEFECTIVE = 100, 0.2
TEST_GOOD_MIN, TEST_DEFECTS_MIN = 25, 20
ANSWERS = 10
SETTLED = 6  # times that a stream's threshold is computed, since it moves by steps
DRAWS = 3  # of the stream, of each split


@dataclass(frozen=True, slots=True)
class Row:
    """Figures of one threshold on one draw."""

    false_rejects: float
    gap: float
    is_covered: bool
    width: float  # of the interval


@dataclass(frozen=True, slots=True)
class Stream:
    """Captures of a line, and the images that measure it."""

    labels: list[tuple[float, bool]]  # score, and whether it is defective
    scores: list[float]  # ``STREAM`` of them, some twice where a set has too few
    test_good_N: Scores
    test_defect_N: Scores


def stream_of(split: Split, seed: int) -> Stream:
    """Draw a stream of a split's images; the others measure."""
    rng = np.random.default_rng(seed)
    goods = rng.permutation(np.concatenate([split.good_N, split.further_good_N]))
    defects = rng.permutation(np.concatenate([split.defect_N, split.further_defect_N]))
    good_count = min(round(STREAM * (1 - DEFECTIVE)), len(goods) - TEST_GOOD_MIN)
    defect_count = min(round(STREAM * DEFECTIVE), len(defects) - TEST_DEFECTS_MIN)
    labels = [(float(score), False) for score in goods[:good_count]]
    labels += [(float(score), True) for score in defects[:defect_count]]
    again = rng.integers(0, len(labels), STREAM - len(labels)).tolist()
    scores = [score for score, _ in labels] + [labels[index][0] for index in again]
    return Stream(labels, scores, goods[good_count:], defects[defect_count:])


def evidence_of(split: Split) -> ThresholdEvidence:
    """Take what the normals of a split tell."""
    return ThresholdEvidence(
        held_out=split.held_out.tolist(), is_left_one_out=split.manifest.method in LEFT_ONE_OUT, budget=BUDGET
    )


def settled_after_stream(split: Split, stream: Stream) -> SharpenedThreshold:
    """Compute the threshold after a stream, which moves by steps."""
    return _settled(replace(evidence_of(split), stream=stream.scores))


def rows_of(split: Split, seed: int) -> dict[str, Row]:
    """Compute every row on one draw of a stream."""
    stream, alone = stream_of(split, seed), evidence_of(split)
    found = {"normals alone": sharpen(alone), "stream": settled_after_stream(split, stream)}
    found["answers"] = sharpen(replace(alone, answers=_answers(stream.labels, found["normals alone"].threshold)))
    answers = _answers(stream.labels, found["stream"].threshold)
    found["stream and answers"] = sharpen(replace(alone, stream=stream.scores, answers=answers))
    true = float(np.quantile(np.concatenate([split.good_N, split.further_good_N]), 1 - BUDGET))
    return {name: _row(one, stream.test_good_N, stream.test_defect_N, true) for name, one in found.items()}


def _settled(evidence: ThresholdEvidence) -> SharpenedThreshold:
    found = sharpen(evidence)
    for _ in range(SETTLED - 1):
        found = sharpen(evidence, in_use=found.threshold)
    return found


def _answers(labels: Sequence[tuple[float, bool]], threshold: float) -> list[ScoredAnswer]:
    nearest = sorted(labels, key=lambda label: abs(np.log(label[0] / threshold)))[:ANSWERS]
    return [
        ScoredAnswer(
            score=score,
            verdict=CorrectionVerdict.DEFECT if is_defect else CorrectionVerdict.GOOD,
            selection=Selection.NEAREST,
        )
        for score, is_defect in nearest
    ]


def _row(found: SharpenedThreshold, good_N: Scores, defect_N: Scores, true: float) -> Row:
    rejected, rate = int(np.count_nonzero(good_N >= found.threshold)), found.rate
    low, high = np.floor(len(good_N) * rate.low), np.ceil(len(good_N) * rate.high)
    return Row(
        false_rejects=rejected / len(good_N),
        gap=float(np.mean(defect_N < found.threshold) - np.mean(defect_N < true)),
        is_covered=bool(low <= rejected <= high),
        width=rate.high - rate.low,
    )


def show(rows: Mapping[str, Mapping[str, Sequence[Row]]]) -> None:
    """Print each row: mean of sets, worst set, each set."""
    for name, sets in rows.items():
        rates = {one: float(np.mean([row.false_rejects for row in of])) for one, of in sets.items()}
        gaps = {one: float(np.mean([row.gap for row in of])) for one, of in sets.items()}
        every = [row for of in sets.values() for row in of]
        print(
            f"{name}: false rejects {np.mean(list(rates.values())):.3f}, worst set {max(rates.values()):.3f}; "
            f"gap {np.mean(list(gaps.values())):+.3f}, worst set {max(gaps.values()):+.3f}; interval covers "
            f"{np.mean([row.is_covered for row in every]):.2f} of {len(every)}, "
            f"{np.mean([row.width for row in every]):.2f} wide"
        )
        print("   ", "  ".join(f"{one} {rates[one]:.3f} {gaps[one]:+.2f}" for one in sets))


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the kept scores and print the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scores", type=Path, help="folder that benchmarks.calibration --keep wrote")
    options = parser.parse_args(arguments)
    rows: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for path in sorted(options.scores.glob("*.pickle")):
        split: Split = pickle.loads(path.read_bytes())  # noqa: S301 - written by benchmarks.calibration
        for draw in range(DRAWS):
            for name, row in rows_of(split, draw).items():
                rows[name][path.stem.rpartition("-")[0]].append(row)
    show(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
