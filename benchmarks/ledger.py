"""Cost of a ledger as it grows: ``python -m benchmarks.ledger``.

Each case runs in a process of its own, the sizes in turn, so that drift of the machine meets all alike. Figures are
medians; the last rows compare them by row. The gate has no row here: it reads the held-out members of a training set,
whose number does not grow with the ledger.
"""

import argparse
import asyncio
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from services.trainer.adapters.ledger import ParquetLedger
from services.trainer.adapters.parquet import write_rows
from services.trainer.domain.compaction import DEFAULT_COMPACTION, choose_files
from services.trainer.domain.freeze import freeze
from services.trainer.domain.ledger import LedgerRow, fresh_captures, rows_of
from services.trainer.domain.training_set import FreezePolicy, NormalCapture, TrainingSet
from siad.contracts.ids import sha256_hex
from siad.contracts.keys import ledger_key
from siad.contracts.place import Place
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.memory import MemoryBlobs

PLACE = Place("line-1", "part")
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
TEACHER = "a" * 64
SIZES = (10_000, 100_000)


def row_of(number: int) -> LedgerRow:
    """Make one capture in twenty defective, with addresses of the usual length."""
    digest = sha256_hex(str(number).encode())
    is_defect = number % 20 == 0
    return LedgerRow(
        capture_id=digest[:32],
        image_id=digest,
        image_uri=f"s3://siad/images/line-1/2026-01-01/{digest}.png",
        captured_at=BEGIN + timedelta(seconds=number),
        received_at=BEGIN + timedelta(seconds=number),
        mask_uri=f"s3://siad/masks/line-1/{digest[:32]}/{TEACHER}.png",
        mask_sha256=digest,
        weights=TEACHER,
        score=2.0 + number % 7 if is_defect else (number % 100) / 101,
        threshold=1.0,
        defect_ratio=0.01 * (1 + number % 5) if is_defect else 0.0,
        serial=f"part-{number}",
        image_hash=sha256_hex(digest.encode()),
    )


def fill(blobs: MemoryBlobs, first: int, last: int, *, per_file: int) -> None:
    """Write the rows as the trainer writes them."""
    for start in range(first, last, per_file):
        rows = [row_of(number) for number in range(start, min(start + per_file, last))]
        key = ledger_key(PLACE, "siad.pseudo-mask.v1", 0, start, start + len(rows) - 1)
        blobs.put(key, write_rows(LedgerRow, rows))


async def measure(size: int, per_file: int) -> dict[str, float]:
    """Measure one ledger of ``size`` rows."""
    blobs = MemoryBlobs()
    fill(blobs, 0, size, per_file=per_file)
    stored_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ledger = ParquetLedger(AsyncBlobs(blobs))
    began_s = time.perf_counter()
    files = await ledger.read(PLACE)
    cold_s = time.perf_counter() - began_s
    fresh_captures(files, since=None)
    began_s = time.perf_counter()
    for _ in range(10):
        fresh_captures(await ledger.read(PLACE), since=BEGIN)
    again_s = (time.perf_counter() - began_s) / 10
    fill(blobs, size, size + per_file, per_file=per_file)
    began_s = time.perf_counter()
    files = await ledger.read(PLACE)
    one_more_s = time.perf_counter() - began_s
    normal = NormalCapture(capture_id="", image_id="", image_uri="s3://siad/n")
    normals = [replace(normal, capture_id=f"{n:032x}", image_id=f"{n:064x}") for n in range(100)]
    began_s = time.perf_counter()
    chosen = freeze(rows_of(files), normals, teachers=[TEACHER], policy=FreezePolicy())
    freeze_s = time.perf_counter() - began_s
    assert isinstance(chosen, TrainingSet), chosen
    merged = await measure_merged(blobs, ledger)
    return {
        "first read, s": cold_s,
        "plan without news, ms": again_s * 1000,
        "plan after one more file, ms": one_more_s * 1000,
        "freeze, ms": freeze_s * 1000,
        "rows held": len(rows_of(files)),
        "files": len(files),
        **merged,
        "memory beside the store, MB": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - stored_kb) / 1024,
    }


async def measure_merged(blobs: MemoryBlobs, ledger: ParquetLedger) -> dict[str, float]:
    """Merge small files, and measure what a plan costs then."""
    began_s = time.perf_counter()
    while chosen := choose_files(await ledger.read(PLACE), [], DEFAULT_COMPACTION):
        await ledger.merge(PLACE, chosen)
    merge_s = time.perf_counter() - began_s
    fresh_captures(await ledger.read(PLACE), since=BEGIN)
    began_s = time.perf_counter()
    for _ in range(10):
        fresh_captures(await ledger.read(PLACE), since=BEGIN)
    again_s = (time.perf_counter() - began_s) / 10
    began_s = time.perf_counter()
    files = await ParquetLedger(AsyncBlobs(blobs)).read(PLACE)
    return {
        "merging, s": merge_s,
        "files when merged": len(files),
        "first read when merged, s": time.perf_counter() - began_s,
        "plan without news then, ms": again_s * 1000,
    }


def main() -> None:
    """Measure all sizes in turn, and print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--per-file", type=int, default=500, help="rows in one file")
    parser.add_argument("--size", type=int, default=0, help="measure this size alone, in this process")
    options = parser.parse_args()
    if options.size:
        print(json.dumps(asyncio.run(measure(options.size, options.per_file))))
        return
    found: dict[int, list[dict[str, float]]] = {size: [] for size in SIZES}
    for _ in range(options.repeats):
        for size in SIZES:
            command = [sys.executable, "-m", "benchmarks.ledger", "--size", str(size), "--per-file"]
            output = subprocess.run([*command, str(options.per_file)], check=True, capture_output=True, text=True)
            found[size].append(json.loads(output.stdout.splitlines()[-1]))
    medians = {
        size: {name: statistics.median(one[name] for one in runs) for name in runs[0]} for size, runs in found.items()
    }
    print(f"{'':32}" + "".join(f"{size:>12,}" for size in SIZES) + f"{'ratio':>9}")
    for name in medians[SIZES[0]]:
        values = [medians[size][name] for size in SIZES]
        print(f"{name:32}" + "".join(f"{value:12.3f}" for value in values) + f"{values[1] / max(values[0], 1e-9):9.2f}")
    by_row = [medians[size]["first read, s"] / size * 1e6 for size in SIZES]
    print(f"{'first read by row, us':32}{by_row[0]:12.2f}{by_row[1]:12.2f}{by_row[1] / by_row[0]:9.2f}")


def medians_of(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Median of each figure over the runs."""
    return {name: statistics.median(one[name] for one in runs) for name in runs[0]}


if __name__ == "__main__":
    main()
