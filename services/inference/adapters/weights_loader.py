"""Loads weights in the loading thread, and classifies failed loads.

Only damaged or unusable weights are refused. Out of memory, an unavailable store and unexpected errors tell nothing
about the weights, so they are retried within seconds. A refusal ends with a newer revision of the pointer, or after
some minutes, since the damage may be in the reading.
"""

import asyncio
from collections.abc import Mapping
from concurrent.futures import Executor
from typing import Final

import structlog

from services.inference import metrics
from services.inference.domain.load_failures import FailureKind, LoadFailure, LoadFailures
from services.inference.domain.releases import ReleasePointer
from siad.contracts.errors import TransientError, UnusableWeightsError
from siad.models.runner.port import DeviceError
from siad.models.slots import Slots
from siad.runtime.backoff import Backoff
from siad.runtime.clock import Clock

log = structlog.get_logger()

BACKOFFS: Final[Mapping[FailureKind, Backoff]] = {
    FailureKind.TRANSIENT: Backoff(),
    FailureKind.BUG: Backoff(schedule_s=(1.0, 5.0, 20.0, 60.0)),
    FailureKind.REFUSED: Backoff(schedule_s=(60.0, 600.0)),
}
EVENTS: Final[Mapping[FailureKind, str]] = {
    FailureKind.TRANSIENT: "weights_not_loaded",
    FailureKind.BUG: "weights_load_crashed",
    FailureKind.REFUSED: "weights_refused",
}


class WeightsLoader:
    """Loads releases one at a time and records those that failed."""

    def __init__(self, slots: Slots, *, executor: Executor, clock: Clock) -> None:
        self._slots, self._executor, self._clock = slots, executor, clock
        self.failures = LoadFailures()

    async def load(self, release: ReleasePointer, *, serving: ReleasePointer | None) -> float | None:
        """Load one release into memory.

        Args:
            release: the weights to load.
            serving: the weights in service, for the log.

        Returns:
            Seconds that loading took; None where it failed, after the failure was recorded and logged.
        """
        began_s = self._clock.monotonic()
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._executor, self._slots.predictor, release.place, release.weights)
        except TransientError as error:
            self._on_failure(release, FailureKind.TRANSIENT, error, serving=serving)
        except UnusableWeightsError as error:
            self._on_failure(release, FailureKind.REFUSED, error, serving=serving)
        except DeviceError:
            raise  # only a new process can use the device again
        except Exception as error:  # noqa: BLE001 - logged with its traceback and retried: the line must stay in service
            self._on_failure(release, FailureKind.BUG, error, serving=serving)
        else:
            self.failures.clear(release)
            load_s = self._clock.monotonic() - began_s
            metrics.LOAD_SECONDS.labels(release.kind.value).observe(load_s)
            return load_s
        return None

    async def drop_replaced(self) -> None:
        """Free weights that swaps have replaced, in the loading thread."""
        await asyncio.get_running_loop().run_in_executor(self._executor, self._slots.drop_replaced)

    def _on_failure(
        self, release: ReleasePointer, kind: FailureKind, error: Exception, *, serving: ReleasePointer | None
    ) -> None:
        attempts = self.failures.attempts(release)
        delay_s = BACKOFFS[kind].delay_s(attempts)
        reason = str(error) or type(error).__name__
        self.failures.record(
            release, LoadFailure(kind, reason, attempts=attempts + 1, retry_at_s=self._clock.monotonic() + delay_s)
        )
        metrics.LOAD_FAILURES.labels(release.place.line, release.kind.value, kind.value).inc()
        log.error(
            EVENTS[kind],
            line=release.place.line,
            product=release.place.product,
            kind=release.kind.value,
            weights=release.weights,
            revision=release.revision,
            reason=reason,
            still_serving=serving.weights if serving else None,
            retry_s=round(delay_s, 3),
            exc_info=error if kind is FailureKind.BUG else None,
        )
