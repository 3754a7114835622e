"""Trials in the store, of trainer and command line."""

from collections.abc import Sequence
from typing import Final, TypeVar

import structlog

from siad.contracts.errors import MissingError
from siad.contracts.events import Decision
from siad.contracts.json_codec import JsonRecord
from siad.contracts.place import Place
from siad.contracts.trial_keys import trial_key, trial_of, trials_prefix
from siad.contracts.trials import (
    CanaryStart,
    JudgedPair,
    ShadowJudged,
    TrialEnd,
    TrialOrder,
    TrialPairs,
    TrialPhase,
    TrialSpec,
    TrialState,
)
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.port import IF_ABSENT, PutCondition

log = structlog.get_logger()

T = TypeVar("T", bound=JsonRecord)
JSON: Final = "application/json"
_DECIDED: Final = (Decision.PASS, Decision.REJECT)


class StoredTrials:
    """Reads and writes trials; all records but the pairs are write-once."""

    def __init__(self, blobs: AsyncBlobs) -> None:
        self._blobs = blobs
        self._cache: dict[str, JsonRecord] = {}  # of write-once records

    async def newest(self, place: Place) -> TrialState | None:
        """Read the newest trial of a place; None before the first.

        Raises:
            CorruptError: a record can't be read.
        """
        found = {info.key for info in await self._blobs.list_all(trials_prefix(*place))}
        if not found:
            return None
        number = max(map(trial_of, found))
        return await self._state(place, number, found)

    async def list_all(self, place: Place) -> list[TrialState]:
        """Read every trial of a place, oldest first."""
        found = {info.key for info in await self._blobs.list_all(trials_prefix(*place))}
        return [await self._state(place, number, found) for number in sorted(set(map(trial_of, found)))]

    async def put_spec(self, spec: TrialSpec) -> None:
        """Open a trial."""
        await self._put(spec.place, spec.number, "spec", spec)

    async def put_canary(self, spec: TrialSpec, start: CanaryStart) -> None:
        """Let the candidate decide a share."""
        await self._put(spec.place, spec.number, "canary", start)

    async def put_order(self, spec: TrialSpec, order: TrialOrder) -> None:
        """Order how a trial ends.

        Raises:
            ConflictError: there is an order already.
        """
        await self._put(spec.place, spec.number, "order", order)

    async def put_end(self, spec: TrialSpec, end: TrialEnd) -> None:
        """End a trial."""
        await self._put(spec.place, spec.number, "end", end)

    async def add(self, place: Place, number: int, phase: TrialPhase, events: Sequence[ShadowJudged]) -> int:
        """Add pairs to a trial; a capture that it has counts once.

        Returns:
            How many captures are new. Pairs of other weights, and of a trial that there is not, are left out.

        Raises:
            ConflictError: another process added some at the same moment; the repeat reads them.
        """
        spec = await self._once(TrialSpec, trial_key(*place, number, "spec"))
        if spec is None:
            log.warning("pairs_left_out", place=str(place), trial=number, reason="there is no such trial")
            return 0
        key = trial_key(*place, number, f"pairs-{phase.value}")
        try:
            blob = await self._blobs.get(key)
        except MissingError:
            pairs, etag = TrialPairs(), None
        else:
            pairs, etag = TrialPairs.from_json(blob.data), blob.etag
        after = with_pairs(pairs, [one for one in events if _belongs(one, spec)])
        if after.captures > pairs.captures:
            await self._blobs.put(key, after.to_json(), content_type=JSON, condition=PutCondition(etag))
        return after.captures - pairs.captures

    async def _state(self, place: Place, number: int, found: set[str]) -> TrialState:
        keys = {name: trial_key(*place, number, name) for name in ("spec", "canary", "order", "end")}
        spec = await self._once(TrialSpec, keys["spec"])
        if spec is None:
            msg = f"trial {number} of {place} has no spec"
            raise MissingError(msg)
        canary = await self._once(CanaryStart, keys["canary"]) if keys["canary"] in found else None
        phase = TrialPhase.SHADOW if canary is None else TrialPhase.CANARY
        pairs = trial_key(*place, number, f"pairs-{phase.value}")
        return TrialState(
            spec=spec,
            canary=canary,
            order=await self._once(TrialOrder, keys["order"]) if keys["order"] in found else None,
            end=await self._once(TrialEnd, keys["end"]) if keys["end"] in found else None,
            pairs=TrialPairs.from_json((await self._blobs.get(pairs)).data) if pairs in found else TrialPairs(),
        )

    async def _put(self, place: Place, number: int, name: str, record: JsonRecord) -> None:
        key = trial_key(*place, number, name)
        await self._blobs.put(key, record.to_json(), content_type=JSON, condition=IF_ABSENT)

    async def _once(self, kind: type[T], key: str) -> T | None:
        """Read a write-once record once; None where there is none."""
        known = self._cache.get(key)
        if isinstance(known, kind):
            return known
        try:
            record = kind.from_json((await self._blobs.get(key)).data)
        except MissingError:
            return None
        self._cache[key] = record
        return record


def with_pairs(pairs: TrialPairs, events: Sequence[ShadowJudged]) -> TrialPairs:
    """Add the captures that are new."""
    known = {*pairs.passed, *(pair.capture_id for pair in pairs.pairs)}
    passed, rejected = list(pairs.passed), list(pairs.pairs)
    decided, disagreement, spent_s = pairs.decided, pairs.mask_disagreement, pairs.spent_s
    for event in events:
        if event.capture_id in known:
            continue
        known.add(event.capture_id)
        candidate_rejects = event.candidate_decision is Decision.REJECT
        serving_rejects = event.serving_decision is Decision.REJECT
        decided += event.decided_by_candidate
        spent_s += event.spent_s
        if not (candidate_rejects or serving_rejects):
            passed.append(event.capture_id)
            continue
        disagreement += event.mask_disagreement if candidate_rejects and serving_rejects else 0.0
        rejected.append(
            JudgedPair(
                capture_id=event.capture_id,
                candidate_rejects=candidate_rejects,
                serving_rejects=serving_rejects,
                is_clear=event.serving_margin >= 1,
            )
        )
    return TrialPairs(
        passed=tuple(passed),
        pairs=tuple(rejected),
        decided=decided,
        mask_disagreement=disagreement,
        spent_s=spent_s,
    )


def _belongs(event: ShadowJudged, spec: TrialSpec) -> bool:
    is_decided = event.candidate_decision in _DECIDED and event.serving_decision in _DECIDED
    return is_decided and (event.candidate, event.serving) == (spec.candidate, spec.serving)
