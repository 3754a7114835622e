"""Runs in the store: spec, attempts, report and judgement, each written once."""

from collections import defaultdict
from datetime import datetime
from typing import TypeVar

from services.trainer.domain.records import CandidateJudgement, RunReport, RunSpec
from services.trainer.domain.schedule import RunState
from siad.contracts.documents import RunAttempt
from siad.contracts.errors import ConflictError
from siad.contracts.json_codec import JsonRecord
from siad.contracts.keys import (
    checkpoints_prefix,
    run_attempt_key,
    run_judgement_key,
    run_report_key,
    run_spec_key,
    runs_prefix,
)
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.port import BlobInfo, Blobs

JSON = "application/json"

T = TypeVar("T", bound=JsonRecord)


class StoredRuns:
    """Reads and writes run records; they never change, so each is fetched once."""

    def __init__(self, blobs: AsyncBlobs) -> None:
        self._blobs = blobs
        self._seen: dict[str, bytes] = {}

    async def read(self, line: str, product: str) -> list[RunState]:
        """Every run of a line and product, oldest first; one without a spec is not there yet."""
        found: dict[str, dict[str, BlobInfo]] = defaultdict(dict)
        for info in await self._blobs.list_all(runs_prefix(line, product)):
            found[info.key.split("/")[1]][info.key] = info
        return [await self._run(run, files) for run, files in sorted(found.items()) if run_spec_key(run) in files]

    async def put_spec(self, spec: RunSpec) -> None:
        """Write what a run is to do, unless somebody did."""
        await self._blobs.put(run_spec_key(spec.run), spec.to_json(), content_type=JSON, if_absent=True)

    async def put_attempt(self, run: str, number: int, started_at: datetime) -> None:
        """Write that the job is about to start, unless somebody did."""
        data = RunAttempt(started_at=started_at).to_json()
        await self._blobs.put(run_attempt_key(run, number), data, content_type=JSON, if_absent=True)

    async def put_judgement(self, judgement: CandidateJudgement) -> None:
        """Write what was decided, unless somebody did."""
        key = run_judgement_key(judgement.run)
        await self._blobs.put(key, judgement.to_json(), content_type=JSON, if_absent=True)

    async def _run(self, run: str, files: dict[str, BlobInfo]) -> RunState:
        attempts = sorted(key for key in files if key.startswith(f"{checkpoints_prefix(run)}/attempts/"))
        spec = await self._record(RunSpec, run_spec_key(run), files)
        assert spec is not None, f"{run} was listed with a spec"
        return RunState(
            spec=spec,
            report=await self._record(RunReport, run_report_key(run), files),
            judgement=await self._record(CandidateJudgement, run_judgement_key(run), files),
            attempts=len(attempts),
            last_attempt_at=await self._started_at(attempts[-1]) if attempts else None,
        )

    async def _started_at(self, key: str) -> datetime:
        return RunAttempt.from_json(await self._bytes(key)).started_at

    async def _bytes(self, key: str) -> bytes:
        if key not in self._seen:
            self._seen[key] = (await self._blobs.get(key)).data
        return self._seen[key]

    async def _record(self, kind: type[T], key: str, files: dict[str, BlobInfo]) -> T | None:
        return kind.from_json(await self._bytes(key)) if key in files else None


def load_spec(blobs: Blobs, run: str) -> RunSpec:
    """What ``run`` is to do.

    Raises:
        MissingError: no such run.
    """
    return RunSpec.from_json(blobs.get(run_spec_key(run)).data)


def leave_report(blobs: Blobs, report: RunReport) -> None:
    """Write what a job brought; where there is a report, it stands."""
    try:
        blobs.put(run_report_key(report.run), report.to_json(), content_type=JSON, if_absent=True)
    except ConflictError:
        return
