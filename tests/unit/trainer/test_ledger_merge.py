"""Small ledger files become one: no row is lost at any crash, and erased rows do not come back."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.trainer.adapters.ledger import ParquetLedger
from services.trainer.adapters.ledger_merge import merge_files
from services.trainer.adapters.parquet import write_rows
from services.trainer.domain.compaction import CompactionPolicy, boundaries_of, choose_files
from services.trainer.domain.corrections import CorrectionRow
from services.trainer.domain.ledger import LedgerFile, LedgerRow, fresh_captures, row_of, rows_of
from siad.contracts.corrections import CorrectionVerdict
from siad.contracts.deletion import CaptureDeletion
from siad.contracts.keys import deletion_key, ledger_key, ledger_prefix
from siad.contracts.training_runs import CandidateJudgement, RunOutcome, RunState
from siad.erasure.capture import CaptureRemains, erase_captures
from siad.erasure.rows import count_rows
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.memory import MemoryBlobs
from siad.runtime.testing.diary import ProcessKilled
from siad.runtime.testing.mortal import IMMORTAL, MortalBlobs
from tests.unit.trainer.test_corrections import corrected, correction
from tests.unit.trainer.test_judge import SPEC
from tests.unit.trainer.test_trainer_ledger import LP, NOON, event
from tests.unit.trainer.test_trainer_plan import UNIT, World

FILES = 6


def key(number: int) -> str:
    return ledger_key(LP, "siad.pseudo-mask.v1", 0, 2 * number, 2 * number + 1)


def filled(blobs: MemoryBlobs) -> list[str]:
    """Six files of two rows each."""
    names = [key(number) for number in range(FILES)]
    for number, name in enumerate(names):
        rows = [row_of(event(2 * number)), row_of(event(2 * number + 1))]
        MemoryBlobs.put(blobs, name, write_rows(LedgerRow, rows))
    return names


def stored(blobs: MemoryBlobs) -> list[str]:
    return [info.key for info in blobs.list(ledger_prefix(*LP))]


async def captures(blobs: MemoryBlobs) -> list[int]:
    """Captures of all rows, as a plan reads them."""
    files = await ParquetLedger(AsyncBlobs(blobs, workers=1)).read(LP)
    return [int(row.capture_id, 16) for row in rows_of(files)]


async def test_files_become_one_with_all_rows_and_the_last_time() -> None:
    blobs = MemoryBlobs()
    names = filled(blobs)
    ledger = ParquetLedger(AsyncBlobs(blobs, workers=1))
    before = await ledger.read(LP)
    assert merge_files(blobs, LP, names)
    [file] = await ledger.read(LP)
    assert file.key.startswith(f"{ledger_prefix(*LP)}merged-")
    assert set(file.rows) == set(rows_of(before))
    assert len(file.rows) == 2 * FILES
    assert file.written_at == max(one.written_at for one in before)


async def test_killed_at_any_write_no_row_is_missing_and_the_next_merge_ends_the_same() -> None:
    every = set(range(2 * FILES))
    for writes in range(FILES + 1):
        blobs = MortalBlobs()
        names = filled(blobs)
        blobs.lives = writes
        with pytest.raises(ProcessKilled):
            merge_files(blobs, LP, names)
        blobs.lives = IMMORTAL
        assert set(await captures(blobs)) == every, writes
        assert fresh_captures(await ParquetLedger(AsyncBlobs(blobs)).read(LP), since=None) == len(every)
        merge_files(blobs, LP, stored(blobs))
        assert sorted(await captures(blobs)) == sorted(every), writes
        assert len(stored(blobs)) == 1


class Meddled(MemoryBlobs):
    """Does something right before or after a merged file is stored."""

    before: Callable[[], None] | None = None
    after: Callable[[], None] | None = None

    def put(self, key: str, data: bytes, **given: object) -> str:
        is_merged = "merged-" in key and self.before is not None
        if is_merged and self.before is not None:
            before, self.before = self.before, None
            before()
        etag = MemoryBlobs.put(self, key, data, **given)  # type: ignore[arg-type]
        if is_merged and self.after is not None:
            after, self.after = self.after, None
            after()
        return etag


def deletion(number: int) -> CaptureDeletion:
    one = event(number)
    return CaptureDeletion(
        capture_id=one.capture_id,
        line="l",
        product="p",
        image_id=one.image_id,
        image_uri=one.image_uri,
        received_at=one.received_at,
        forgotten_at=NOON,
    )


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_an_erasure_meanwhile_reaches_every_row(moment: str) -> None:
    blobs = Meddled()
    names = filled(blobs)
    gone = deletion(3)

    def erase() -> None:
        erase_captures(blobs, CaptureRemains(line="l", deletions=(gone,), unrecorded=(gone.capture_id,)))

    blobs.before, blobs.after = (erase, None) if moment == "before" else (lambda: None, erase)
    merge_files(blobs, LP, names)
    assert [count_rows(blobs.get(name).data, [gone.capture_id]) for name in stored(blobs)] == [0] * len(stored(blobs))
    assert set(await captures(blobs)) == set(range(2 * FILES)) - {3}
    merge_files(blobs, LP, stored(blobs))
    assert sorted(await captures(blobs)) == [number for number in range(2 * FILES) if number != 3]


async def test_a_merged_file_that_a_crash_left_with_erased_rows_is_rewritten() -> None:
    blobs = MortalBlobs()
    names = filled(blobs)
    blobs.lives = 1  # it dies before it looks at the deletion records again
    with pytest.raises(ProcessKilled):
        merge_files(blobs, LP, names)
    blobs.lives = IMMORTAL
    MemoryBlobs.put(
        blobs, deletion_key("l", event(3).capture_id), deletion(3).to_json()
    )  # the ledger was listed before
    ledger = ParquetLedger(AsyncBlobs(blobs, workers=1))
    for _ in range(4):
        if not (chosen := choose_files(await ledger.read(LP), [], CompactionPolicy(files_min=100))):
            break
        assert await ledger.merge(LP, chosen)
    assert not any(count_rows(blobs.get(name).data, [event(3).capture_id]) for name in stored(blobs))
    assert set(await captures(blobs)) == set(range(2 * FILES)) - {3}


async def test_a_file_that_is_written_again_meanwhile_stays() -> None:
    blobs = Meddled()
    names = filled(blobs)
    again = write_rows(LedgerRow, [row_of(event(number)) for number in (0, 1, 50)])

    def write_again() -> None:
        blobs.put(names[0], again)

    blobs.before, blobs.after = (lambda: None), write_again
    merge_files(blobs, LP, names)
    assert names[0] in stored(blobs)
    assert set(await captures(blobs)) == {*range(2 * FILES), 50}


async def test_damaged_files_and_those_of_a_later_version_stay_as_they_are() -> None:
    blobs = MemoryBlobs()
    names = filled(blobs)
    table = pq.read_table(pa.BufferReader(blobs.get(names[1]).data))
    later = pa.BufferOutputStream()
    pq.write_table(table.append_column("tint", pa.array(["red"] * table.num_rows)), later)
    kept = {names[0]: b"PAR1", names[1]: later.getvalue().to_pybytes()}
    for name, data in kept.items():
        blobs.put(name, data)
    merge_files(blobs, LP, names)
    assert {name: blobs.get(name).data for name in kept} == kept
    assert len(stored(blobs)) == 3
    files = await ParquetLedger(AsyncBlobs(blobs, workers=1)).read(LP)
    assert choose_files(files, [], CompactionPolicy(files_min=2)) == ()
    assert not merge_files(blobs, LP, list(kept))


def file(number: int, size_bytes: int = 1000) -> LedgerFile:
    return LedgerFile(key=f"{number:03}", written_at=NOON + timedelta(minutes=number), size_bytes=size_bytes)


def test_files_on_two_sides_of_a_training_set_are_not_merged() -> None:
    policy = CompactionPolicy(files_min=5, earlier_files_min=2)
    files = [file(number) for number in range(10)]
    assert choose_files(files[:4], [], policy) == ()
    assert choose_files(files, [], policy) == tuple(one.key for one in files)
    until = files[2].written_at
    assert choose_files(files, [until], policy) == ("000", "001", "002")  # the third belongs to the set
    assert choose_files([file(0, 10**6), *files[3:7]], [until], policy) == ()
    assert choose_files(files[:2], [files[0].written_at, files[1].written_at], policy) == ()


def test_a_merged_file_is_bounded_and_merging_ends() -> None:
    policy = CompactionPolicy(files_min=5, merged_bytes_max=3500, small_bytes=3000)
    assert choose_files([file(number) for number in range(10)], [], policy) == ("000", "001", "002")
    assert choose_files([file(number, 3000) for number in range(10)], [], policy) == ()


def run_state(number: int, outcome: RunOutcome | None) -> RunState:
    spec = replace(SPEC, ledger_until_at=NOON + timedelta(minutes=number))
    judged = outcome and CandidateJudgement(run=spec.run, outcome=outcome, reason="", weights="", judged_at=NOON)
    return RunState(spec=spec, report=None, judgement=judged or None, attempts=0, last_attempt_at=None)


def test_runs_before_the_last_that_used_its_captures_divide_nothing() -> None:
    outcomes = [RunOutcome.REFUSED, RunOutcome.ACCEPTED, RunOutcome.FAILED, None]
    runs = [run_state(number, outcome) for number, outcome in enumerate(outcomes)]
    assert boundaries_of(runs) == [run.spec.ledger_until_at for run in runs[1:]]
    assert boundaries_of([]) == []


async def test_a_slow_line_keeps_few_files_and_trains_as_before() -> None:
    world = await World().begin(captures=0)
    for first in range(0, 150, 5):
        await world.label(first, first + 5)
    process = world.process()
    done = await world.settle(process)
    assert "FreezeTrainingSet" in done
    assert done[-1] == "CompactLedger"
    state = await process.observe(UNIT)
    assert len(state.files) == 1
    assert state.new_captures.labelled == 0  # merging makes no capture new
    for first in range(150, 180, 5):
        await world.label(first, first + 5)
    assert (await process.observe(UNIT)).new_captures.labelled == 30
    assert len({row.capture_id for row in rows_of((await world.state()).files)}) == 180


async def test_corrections_are_merged_apart() -> None:
    blobs = MemoryBlobs()
    names = filled(blobs)
    other = [ledger_key(LP, "siad.correction.v1", 0, number, number) for number in range(3)]
    for number, name in enumerate(other):
        blobs.put(name, write_rows(CorrectionRow, corrected(correction(number, CorrectionVerdict.GOOD))))
    merge_files(blobs, LP, [*names, *other])  # whatever is asked for, one kind becomes one file
    ledger = ParquetLedger(AsyncBlobs(blobs, workers=1))
    assert len(stored(blobs)) == 1 + len(other)
    assert await ledger.merge(LP, choose_files(await ledger.read(LP), [], CompactionPolicy(files_min=2)))
    files = await ledger.read(LP)
    assert [(len(one.rows), len(one.corrections)) for one in files] in ([(12, 0), (0, 3)], [(0, 3), (12, 0)])
