"""Every wanted figure of the first day, in one table.

    python -m benchmarks.day_one ../shared/data --seeds 5 --keep var/scores

Six sets, ten normals each (cells: 20), the default teacher at a budget of 5%. Rows: misses at its own threshold over
those at the true quantile, and false rejects on unseen good images, from normals alone, after 100 captures of a stream
without labels, after 10 answers, and after both; the marks' IoU divided by that of the best single cut; and how often
the stated 90% intervals hold. Each split takes about 40 s of one core; with ``--keep`` a second run takes seconds.

``benchmarks.calibration`` and ``benchmarks.sharpening`` say how each figure is measured, and print it by set.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks.calibration import RULES, SETS, MarkFigures, Split, gap, is_covered, mark_figures, splits_of
from benchmarks.sharpening import DRAWS, Row, rows_of

WANTED: Mapping[str, tuple[str, str]] = {
    "normals alone": ("at most 0 / +.10", ".04 to .07 / .15"),
    "stream": ("+.02 / +.08", ".04 to .06 / .12"),
    "answers": ("+.02 / +.06", ".03 to .06 / .09"),
    "stream and answers": ("", ""),
}


def table(splits: Mapping[str, Sequence[Split]]) -> str:
    """Write the table in Markdown."""
    own = {name: [gap(split, RULES["now"](split.held_out)) for split in of] for name, of in splits.items()}
    lines = ["| | gap, mean / worst set | wanted | false rejects, mean / worst set | wanted | interval holds |"]
    lines += ["|---|---|---|---|---|---|"]
    covered = [is_covered(split) for of in splits.values() for split in of]
    lines.append(
        _line("normals alone, 60 unseen", {name: np.mean(of, 0) for name, of in own.items()}, "normals alone", covered)
    )
    drawn = {name: [rows_of(split, draw) for split in of for draw in range(DRAWS)] for name, of in splits.items()}
    for row in WANTED:
        rows = {name: [one[row] for one in of] for name, of in drawn.items()}
        means = {name: _mean(of) for name, of in rows.items()}
        lines.append(_line(row, means, row, [one.is_covered for of in rows.values() for one in of]))
    lines += ["", "| marks, wanted .8 | of rejected images, mean of images | all their pixels | images marked |"]
    lines += ["|---|---|---|---|"]
    for name, of in splits.items():
        if of[0].maps:
            lines.append(_marks_line(name, [mark_figures(one, RULES["now"](one.held_out), legacy=False) for one in of]))
    return "\n".join(lines)


def _mean(rows: Sequence[Row]) -> np.ndarray:
    return np.array([np.mean([row.false_rejects for row in rows]), np.mean([row.gap for row in rows])])


def _line(label: str, means: Mapping[str, np.ndarray], wanted: str, covered: Sequence[bool]) -> str:
    rates, gaps = np.array(list(means.values())).T
    gap_wanted, rate_wanted = WANTED[wanted]
    return (
        f"| {label} | {gaps.mean():+.3f} / {gaps.max():+.3f} | {gap_wanted} "
        f"| {rates.mean():.3f} / {rates.max():.3f} | {rate_wanted} | {np.mean(covered):.2f} of {len(covered)} |"
    )


def _marks_line(name: str, figures: Sequence[MarkFigures]) -> str:
    mean, pooled, marked = (
        float(np.nanmean([getattr(one, field) for one in figures]))
        for field in ("mean_of_rejected", "pooled_of_rejected", "marked")
    )
    return f"| {name} | {mean:.2f} | {pooled:.2f} | {marked:.2f} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Score the splits and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of sets in MVTec-AD's layout")
    parser.add_argument("--sets", default=",".join(SETS), help="some of them, separated by commas")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--keep", type=Path, help="folder for scores and small maps")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    print(table(splits_of(options.data, options.sets.split(","), seeds=options.seeds, keep=options.keep)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
