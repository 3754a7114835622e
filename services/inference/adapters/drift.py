"""Drift of every line: sums in memory, episodes in the store."""

import asyncio
import contextlib
import math
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Final

import structlog

from services.inference import metrics
from services.inference.domain.drift import CAP, DriftDetector
from services.inference.domain.judge import CaptureJudgement
from siad.contracts.drift import RECORDED_MAX, CaptureReference, DriftCause, DriftEpisode, DriftEvidence, DriftRecord
from siad.contracts.errors import ConflictError, CorruptError, MissingError, TransientError
from siad.contracts.events import Decision, ImageStored
from siad.contracts.keys import drift_key
from siad.contracts.normals_profile import MisfitReason
from siad.contracts.place import Place
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.blobs.port import PutCondition
from siad.runtime.clock import Clock

log = structlog.get_logger()

PLACES_MAX: Final = 2000  # 20 KB each; the longest unused is forgotten
STORE_S: Final = 5.0
CONFLICTS_MAX: Final = 8
SEEN_MIN: Final = 2 * int(CAP)  # captures after which a drift of an earlier process that does not show has ended
USUAL_MIN: Final = 5  # captures after which a changed view would show in the sums
_RATIO_MIN: Final = 1e-3  # of a score to its threshold
_MISFITS: Final = frozenset(reason.value for reason in MisfitReason)


@dataclass(slots=True)
class _WatchedPlace:
    detector: DriftDetector
    before: CaptureReference | None = None  # the first capture at which all was as usual
    latest: CaptureReference | None = None
    drifts: dict[DriftCause, DriftEvidence] | None = None  # as last noted
    is_changed: bool = False  # the record in the store has yet to follow


class DriftWatch:
    """Notes judged captures, exports the sums, and records what drifts.

    A process that ends loses its sums, and its successor needs as many captures again; a recorded drift lasts until the
    successor has seen enough usual captures.
    """

    def __init__(self, blobs: AsyncBlobs, *, clock: Clock) -> None:
        self._blobs, self._clock = blobs, clock
        self._places: OrderedDict[Place, _WatchedPlace] = OrderedDict()

    def note(self, event: ImageStored, judgement: CaptureJudgement) -> None:
        """Count a judged capture of the stream."""
        is_misfit = judgement.decision is Decision.UNKNOWN and judgement.reason in _MISFITS
        if judgement.decision is Decision.UNKNOWN and not is_misfit:
            return  # not judged: late, or without weights
        place = Place(event.line, event.product)
        watched = self._watched(place, judgement)
        detector = watched.detector
        if is_misfit:
            detector.add_misfit()
        else:
            ratio = judgement.score / max(judgement.threshold.image_threshold, 1e-9)
            detector.add(judgement.figures, log_ratio=math.log(max(ratio, _RATIO_MIN)), weights=judgement.weights)
        watched.latest = CaptureReference(
            capture_id=event.capture_id, image_uri=event.image_uri, captured_at=event.captured_at
        )
        if detector.captures == SEEN_MIN:
            watched.is_changed = True  # an earlier process may have recorded a drift that does not show any more
        if watched.before is None and not is_misfit and detector.captures >= USUAL_MIN and detector.is_usual:
            watched.before = watched.latest
        self._export(place, watched)

    async def run(self, stop: asyncio.Event) -> None:
        """Record changes every few seconds, and at the end."""
        is_last = False
        while not is_last:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STORE_S):
                    await stop.wait()
            is_last = stop.is_set()
            await self.store()

    async def store(self) -> None:
        """Record what began and ended; in an outage it waits."""
        for place, watched in list(self._places.items()):
            if not watched.is_changed:
                continue
            watched.is_changed = False
            try:
                await self._merge(place, watched)
            except TransientError as error:
                log.warning("drift_put_off", line=place.line, product=place.product, reason=str(error))
                watched.is_changed = True

    def _watched(self, place: Place, judgement: CaptureJudgement) -> _WatchedPlace:
        watched = self._places.get(place)
        baseline = judgement.baseline
        if watched is None or watched.detector.baseline != baseline:
            watched = self._places[place] = _WatchedPlace(DriftDetector(baseline))
            while len(self._places) > PLACES_MAX:
                self._forget(next(iter(self._places)))
        self._places.move_to_end(place)
        return watched

    def _forget(self, place: Place) -> None:
        del self._places[place]
        for cause in DriftCause:
            metrics.DRIFT_RATIO.remove(*place, cause.value)
            metrics.DRIFT.remove(*place, cause.value)

    def _export(self, place: Place, watched: _WatchedPlace) -> None:
        drifts = watched.detector.drifts()
        if drifts.keys() != (watched.drifts or {}).keys():
            watched.is_changed = True
            for cause, evidence in drifts.items():
                if cause not in (watched.drifts or {}):
                    log.warning("drift_began", line=place.line, product=place.product, cause=cause.value,
                                statistic=evidence.statistic, deviations=evidence.deviations)  # fmt: skip
        watched.drifts = drifts
        for cause, ratio in watched.detector.ratios().items():
            metrics.DRIFT_RATIO.labels(*place, cause.value).set(ratio)
            metrics.DRIFT.labels(*place, cause.value).set(cause in drifts)

    async def _merge(self, place: Place, watched: _WatchedPlace) -> None:
        key = drift_key(*place)
        for _ in range(CONFLICTS_MAX):
            record, etag = await self._read(key, place)
            merged = self._merged(record, watched)
            if merged == record:
                return
            try:
                await self._blobs.put(
                    key, merged.to_json(), content_type="application/json", condition=PutCondition(etag)
                )
            except ConflictError:
                continue
            return
        msg = f"other processes kept writing the drifts of {place}"
        raise TransientError(msg)

    def _merged(self, record: DriftRecord, watched: _WatchedPlace) -> DriftRecord:
        now, drifts = self._clock.now(), watched.drifts or {}
        may_end = watched.detector.captures >= SEEN_MIN
        kept = [
            one if one.until_at is not None or one.cause in drifts or not may_end else replace(one, until_at=now)
            for one in record.drifts
        ]
        lasting = {one.cause for one in kept if one.until_at is None}
        assert watched.latest is not None, "a place is watched from its first capture on"
        began = [
            DriftEpisode(cause=cause, since_at=now, evidence=evidence, before=watched.before, after=watched.latest)
            for cause, evidence in drifts.items()
            if cause not in lasting
        ]
        return replace(record, drifts=tuple([*kept, *began][-RECORDED_MAX:]))

    async def _read(self, key: str, place: Place) -> tuple[DriftRecord, str | None]:
        empty = DriftRecord(line=place.line, product=place.product)
        try:
            blob = await self._blobs.get(key)
        except MissingError:
            return empty, None
        try:
            return DriftRecord.from_json(blob.data), blob.etag
        except CorruptError as error:  # it begins anew; the images are still there
            log.error("drift_record_damaged", line=place.line, product=place.product, reason=str(error))
            return empty, blob.etag
