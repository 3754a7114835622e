"""Warm-up: judging starts once lines, releases and weights are known.

Before that every verdict would be UNKNOWN.
"""

from collections.abc import Sequence
from typing import Any

import structlog

from services.inference.adapters.predictors import HotSwapPredictors
from services.inference.adapters.release_listener import PointerPoller
from siad.contracts.errors import TransientError
from siad.runtime.state_table import StateTable

log = structlog.get_logger()


class WarmUp:
    """Reads the state topics and the pointers, then loads released weights.

    Args:
        tables: lines, teachers, segmenters and thresholds.
        pointers: release pointers of the store.
        predictors: take the weights.
    """

    def __init__(
        self,
        tables: Sequence[StateTable[Any]],
        pointers: PointerPoller,
        predictors: HotSwapPredictors,
    ) -> None:
        self._tables, self._pointers, self._predictors = tables, pointers, predictors
        self._is_done = False

    async def run(self) -> None:
        """Return once the stage may judge."""
        for table in self._tables:
            await table.wait_ready()
        await self._pointers.wait_read()
        self._predictors.confirm()
        await self._predictors.warm()
        self._is_done = True
        log.info("warm", weights=len(self._predictors.serving()))

    async def check(self) -> None:
        """Readiness: raise TransientError until the weights are loaded."""
        if not self._is_done:
            msg = "the weights of the lines are not loaded yet"
            raise TransientError(msg)
