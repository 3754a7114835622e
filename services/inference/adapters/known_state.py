"""Known state on the local disk, for starts in an outage.

It is written while both answer: after every change, and once a minute for its age. The next process begins with it, and
replaces it by what topics and store say as soon as they can be read. Weights come from the cache beside it.
"""

import asyncio
import os
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

import structlog

from services.inference import metrics
from services.inference.adapters.contact import Contact
from services.inference.adapters.predictors import HotSwapPredictors
from services.inference.adapters.release_listener import PointerPoller
from services.inference.adapters.weights_cache import WeightsCache
from services.inference.domain.known_state import KnownState, StaleState, may_serve
from siad.contracts.corrections import ThresholdSet
from siad.contracts.errors import CorruptError
from siad.contracts.events import LineChanged
from siad.contracts.ids import WeightsId
from siad.contracts.manifest import Manifest
from siad.runtime.clock import Clock
from siad.runtime.state_table import StateTable

log = structlog.get_logger()

FILE: Final = "known-state.json"
WRITE_EVERY_S: Final = 60.0  # where nothing changed, for the age


@dataclass(frozen=True, slots=True, kw_only=True)
class StateSources:
    """Where the state of a running process is."""

    lines: StateTable[LineChanged]
    thresholds: StateTable[ThresholdSet]
    pointers: PointerPoller
    predictors: HotSwapPredictors
    contact: Contact
    store: str  # address of the store


class LocalState:
    """The known state of one process, and its copy in a folder.

    Args:
        sources: of the state.
        folder: of the copy; None: nothing is kept, and an outage makes the stage unready.
        cache: weights that belong to it.
        clock: time.
    """

    def __init__(self, sources: StateSources, folder: Path | None, cache: WeightsCache | None, clock: Clock) -> None:
        self._sources, self._folder, self._cache, self._clock = sources, folder, cache, clock
        self._restored_as_of: datetime | None = None
        self._written: KnownState | None = None
        self._written_s = -WRITE_EVERY_S
        self._kept: frozenset[WeightsId] = frozenset()
        metrics.KNOWN_STATE_SECONDS.set_function(self._age_s)

    def restore(self) -> None:
        """Begin with an earlier process's state of this store, if any."""
        if self._folder is None or (known := _read(self._folder / FILE)) is None:
            return
        if known.store != self._sources.store:
            log.warning("known_state_refused", reason=f"it belongs to {known.store}, not to {self._sources.store}")
            return
        self._sources.lines.restore(known.lines)
        self._sources.thresholds.restore(known.thresholds)
        self._sources.predictors.restore(known.releases)
        self._restored_as_of = known.as_of
        log.info("known_state_restored", as_of=known.as_of.isoformat(), releases=len(known.releases))

    def stale(self) -> StaleState | None:
        """Return age and reason where the state may be outdated."""
        contact = self._sources.contact
        if contact.away:
            return StaleState(as_of=contact.confirmed_at or self._restored_as_of, away=dict(contact.away))
        if self._restored_as_of is not None and not self._sources.predictors.is_confirmed:
            return StaleState(as_of=self._restored_as_of, away={"state": "topics and store are not read yet"})
        return None

    def may_serve(self, failures: Collection[str]) -> bool:
        """Whether direct requests are judged in spite of failed readiness checks."""
        sources = self._sources
        is_known = self._folder is not None and sources.lines.is_known and sources.thresholds.is_known
        return may_serve(failures, is_known=is_known and sources.predictors.is_any_loaded)

    async def run(self, stop: asyncio.Event, *, every_s: float) -> None:
        """Write the state while broker and store answer, until ``stop``."""
        while not stop.is_set():
            as_of = self._sources.contact.confirmed_at
            is_current = self.stale() is None and self._sources.predictors.is_confirmed
            if self._folder is not None and as_of is not None and is_current:
                await self._write(self._folder, as_of)
            try:
                async with asyncio.timeout(every_s):
                    await stop.wait()
            except TimeoutError:
                continue

    async def _write(self, folder: Path, as_of: datetime) -> None:
        sources, now_s = self._sources, self._clock.monotonic()
        releases = tuple(
            release
            for release in sources.predictors.releases()
            if (release.kind, release.place) not in sources.pointers.gone
        )
        known = KnownState(
            store=sources.store,
            as_of=as_of,
            lines=sources.lines.values(),
            thresholds=sources.thresholds.values(),
            releases=releases,
        )
        is_same = self._written is not None and known == replace(self._written, as_of=known.as_of)
        if is_same and now_s - self._written_s < WRITE_EVERY_S:
            return
        try:
            await asyncio.to_thread(_write, folder, known.to_json())
        except OSError as error:
            log.warning("known_state_not_written", folder=str(folder), reason=str(error))
            return
        self._written, self._written_s = known, now_s
        if self._cache is not None:
            await asyncio.to_thread(self._drop_unnamed_weights, self._cache)

    def _drop_unnamed_weights(self, cache: WeightsCache) -> None:
        """Delete copies of weights that no release names any more."""
        named = () if self._written is None else self._written.releases
        weights = self._sources.predictors.weights_in_use() | {release.weights for release in named}
        if weights == self._kept:
            return
        digests: set[str] = set(weights)
        for manifest in (cache.read(one) for one in weights):
            if manifest is not None:
                digests |= {part.sha256 for part in Manifest.from_json(manifest).parts}
        cache.keep_only(digests)
        self._kept = weights

    def _age_s(self) -> float:
        stale = self.stale()
        if stale is None or stale.as_of is None:
            return 0.0
        return max((self._clock.now() - stale.as_of).total_seconds(), 0.0)


def _read(path: Path) -> KnownState | None:
    try:
        return KnownState.from_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, CorruptError) as error:
        log.warning("known_state_refused", file=str(path), reason=str(error))
        return None


def _write(folder: Path, data: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f"{FILE}.{os.getpid()}.tmp"
    with unfinished.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(folder / FILE)
