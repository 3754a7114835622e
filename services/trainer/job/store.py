"""A run's records in the store, for its job."""

from typing import Final

import structlog

from services.trainer.adapters.parquet import read_rows
from services.trainer.domain.training_set import TrainingMember, TrainingSet
from siad.contracts.errors import ConflictError, CorruptError, MissingError
from siad.contracts.keys import (
    run_judgement_key,
    run_of,
    run_report_key,
    run_spec_key,
    runs_prefix,
    training_set_key,
)
from siad.contracts.training_runs import CandidateJudgement, RunOutcome, RunReport, RunSpec
from siad.erasure.deletions import Deletions
from siad.runtime.blobs.port import IF_ABSENT, Blobs

log = structlog.get_logger()

REPORTS_MAX: Final = 20  # whose figures a candidate is compared with, besides those of what serves


def read_spec(blobs: Blobs, run: str) -> RunSpec:
    """Read the spec of ``run``.

    Raises:
        MissingError: there is no such run.
        CorruptError: its spec cannot be read.
    """
    return RunSpec.from_json(blobs.get(run_spec_key(run)).data)


def write_report(blobs: Blobs, report: RunReport) -> None:
    """Write a job's result, unless an earlier start wrote one."""
    try:
        blobs.put(run_report_key(report.run), report.to_json(), content_type="application/json", condition=IF_ABSENT)
    except ConflictError:
        return


def read_training_set(blobs: Blobs, line: str, product: str, digest: str) -> TrainingSet:
    """Read a training set, without members that were deleted since.

    Raises:
        MissingError: there is no such set.
        CorruptError: its rows cannot be read, or have another digest.
    """
    key = training_set_key(line, product, digest)
    chosen = TrainingSet(members=tuple(read_rows(TrainingMember, blobs.get(key).data)))
    if chosen.digest != digest:
        msg = f"{blobs.uri(key)} refused: its {len(chosen.members)} rows have digest {chosen.digest}"
        raise CorruptError(msg)
    deleted = Deletions(blobs).read(line).captures
    return TrainingSet(members=tuple(member for member in chosen.members if member.capture_id not in deleted))


def read_accepted_reports(blobs: Blobs, spec: RunSpec) -> list[RunReport]:
    """Read the reports of the latest accepted runs; omit unreadable ones."""
    names = {run_of(info.key) for info in blobs.list(runs_prefix(spec.line, spec.product))}
    found = []
    for run in sorted(names - {spec.run}, reverse=True):
        try:
            judgement = CandidateJudgement.from_json(blobs.get(run_judgement_key(run)).data)
            if judgement.outcome is RunOutcome.ACCEPTED:
                found.append(RunReport.from_json(blobs.get(run_report_key(run)).data))
        except MissingError:
            continue  # it is open, or failed
        except CorruptError as error:
            log.error("run_left_out", run=run, reason=str(error))
        if len(found) == REPORTS_MAX:
            break
    return found
