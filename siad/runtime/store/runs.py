"""Records of runs in the store: spec, attempts, report and judgement."""

from collections import defaultdict
from datetime import datetime
from typing import TypeVar

from siad.contracts.documents import JobFailure, RunAttempt, RunRequest
from siad.contracts.json_codec import JsonRecord
from siad.contracts.keys import (
    run_attempt_key,
    run_attempts_prefix,
    run_failure_key,
    run_judgement_key,
    run_of,
    run_report_key,
    run_request_key,
    run_requests_prefix,
    run_spec_key,
    runs_prefix,
)
from siad.contracts.place import Place
from siad.contracts.training_runs import CandidateJudgement, RunReport, RunSpec, RunState
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.port import IF_ABSENT, BlobInfo

JSON = "application/json"

T = TypeVar("T", bound=JsonRecord)


class StoredRuns:
    """Reads and writes the records of runs.

    They are write-once, so each is read once: the first process to write one wins, and others get ``ConflictError``.
    """

    def __init__(self, blobs: AsyncBlobs) -> None:
        self._blobs = blobs
        self._cache: dict[str, bytes] = {}

    async def read(self, place: Place) -> list[RunState]:
        """Read every run that has a spec, oldest first."""
        runs: dict[str, dict[str, BlobInfo]] = defaultdict(dict)
        for info in await self._blobs.list_all(runs_prefix(*place)):
            runs[run_of(info.key)][info.key] = info
        return [await self._run(run, files) for run, files in sorted(runs.items()) if run_spec_key(run) in files]

    async def newest_request(self, place: Place) -> int:
        """Return the number of the newest requested run; 0 for none."""
        request = await self.last_request(place)
        return 0 if request is None else request.number

    async def last_request(self, place: Place) -> RunRequest | None:
        """Read the newest request for a run; None for none."""
        infos = await self._blobs.list_all(run_requests_prefix(*place))
        return RunRequest.from_json(await self._bytes(infos[-1].key)) if infos else None

    async def put_request(self, place: Place, requested_at: datetime, *, command_id: str = "") -> RunRequest:
        """Request a run.

        Raises:
            ConflictError: another operator requested one at the same moment.
        """
        number = await self.newest_request(place) + 1
        request = RunRequest(number=number, requested_at=requested_at, command_id=command_id)
        key = run_request_key(*place, request.number)
        await self._blobs.put(key, request.to_json(), content_type=JSON, condition=IF_ABSENT)
        return request

    async def is_closed(self, run: str) -> bool:
        """Whether a run has a judgement."""
        return await self._blobs.head(run_judgement_key(run)) is not None

    async def put_spec(self, spec: RunSpec) -> None:
        """Open a run."""
        await self._blobs.put(run_spec_key(spec.run), spec.to_json(), content_type=JSON, condition=IF_ABSENT)

    async def put_attempt(self, run: str, number: int, started_at: datetime) -> None:
        """Record the ``number``-th start of a run's job, before it starts."""
        data = RunAttempt(started_at=started_at).to_json()
        await self._blobs.put(run_attempt_key(run, number), data, content_type=JSON, condition=IF_ABSENT)

    async def put_failure(self, run: str, number: int, failure: JobFailure) -> None:
        """Record why the ``number``-th start of a run's job failed."""
        key = run_failure_key(run, number)
        await self._blobs.put(key, failure.to_json(), content_type=JSON, condition=IF_ABSENT)

    async def put_judgement(self, judgement: CandidateJudgement) -> None:
        """Close a run."""
        key = run_judgement_key(judgement.run)
        await self._blobs.put(key, judgement.to_json(), content_type=JSON, condition=IF_ABSENT)

    async def _run(self, run: str, files: dict[str, BlobInfo]) -> RunState:
        attempts = sorted(key for key in files if key.startswith(run_attempts_prefix(run)))
        failures = [key for n in range(len(attempts), 0, -1) if (key := run_failure_key(run, n)) in files]
        spec = await self._record(RunSpec, run_spec_key(run), files)
        assert spec is not None, f"{run} was listed with a spec"
        return RunState(
            spec=spec,
            report=await self._record(RunReport, run_report_key(run), files),
            judgement=await self._record(CandidateJudgement, run_judgement_key(run), files),
            attempts=len(attempts),
            last_attempt_at=await self._started_at(attempts[-1]) if attempts else None,
            failure=JobFailure.from_json(await self._bytes(failures[0])).reason if failures else "",
        )

    async def _started_at(self, key: str) -> datetime:
        return RunAttempt.from_json(await self._bytes(key)).started_at

    async def _bytes(self, key: str) -> bytes:
        if key not in self._cache:
            self._cache[key] = (await self._blobs.get(key)).data
        return self._cache[key]

    async def _record(self, kind: type[T], key: str, files: dict[str, BlobInfo]) -> T | None:
        return kind.from_json(await self._bytes(key)) if key in files else None
