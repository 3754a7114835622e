"""Panels and alerts of a Prometheus.

They are read in threads, and one answer serves all pages that look at the same time.
"""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, Generic, TypeVar

import httpx

from services.console.domain.status import POINTS, BoardRequest, PanelAnswer, panels_of
from siad.runtime.clock import Clock
from siad.runtime.dashboards.answers import Alert, Span
from siad.runtime.dashboards.panel import Panel
from siad.runtime.dashboards.prometheus import PrometheusError, read_alerts, read_panel

T = TypeVar("T")

FRESH_S: Final = 5.0  # pages read every 15 seconds, and several people look at once
KEPT_MAX: Final = 64  # answers of boards
TIMEOUT_S: Final = 10.0
AT_ONCE: Final = 4  # requests


class Prometheus:
    """The port ``Monitoring``."""

    def __init__(self, url: str, clock: Clock) -> None:
        """Describe the connection.

        Args:
            url: of the Prometheus; empty: there is none.
            clock: for the age of answers.
        """
        self._clock, self._threads = clock, ThreadPoolExecutor(AT_ONCE, thread_name_prefix="prometheus")
        self._http = httpx.Client(base_url=url, timeout=TIMEOUT_S) if url else None
        self._boards = _AnswerCache[tuple[PanelAnswer, ...]](clock)
        self._alerts = _AnswerCache[tuple[Alert, ...]](clock)

    @property
    def is_known(self) -> bool:
        """Whether there is an address."""
        return self._http is not None

    async def alerts(self) -> tuple[Alert, ...]:
        """Read the alerts of SIAD; none without an address.

        Raises:
            PrometheusError: it does not answer.
        """
        if (http := self._http) is None:
            return ()

        async def read() -> tuple[Alert, ...]:
            return tuple(await self._run(partial(read_alerts, http)))

        return await self._alerts.find("", read)

    async def board(self, request: BoardRequest) -> tuple[PanelAnswer, ...]:
        """Read the panels of a dashboard; none without an address.

        A panel whose query fails says why, beside the others.
        """
        if (http := self._http) is None:
            return ()

        async def read() -> tuple[PanelAnswer, ...]:
            end_s = self._clock.now().timestamp()
            span = Span(end_s - 60 * request.minutes, end_s, max(1.0, 60 * request.minutes / POINTS))
            asked = (self._run(partial(_read, http, panel, span, request)) for panel in panels_of(request))
            return tuple(await asyncio.gather(*asked))

        return await self._boards.find(repr(request), read)

    def close(self) -> None:
        """Stop the threads, and close the connection."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._http is not None:
            self._http.close()

    async def _run(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)


class _AnswerCache(Generic[T]):
    """Newest answer to each question, which is asked once at a time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[str, tuple[float, asyncio.Task[T]]] = {}

    async def find(self, name: str, read: Callable[[], Coroutine[Any, Any, T]]) -> T:
        now_s = self._clock.monotonic()
        known = self._known.get(name)
        if known is None or (known[1].done() and now_s - known[0] > FRESH_S):
            self._known.pop(name, None)
            known = (now_s, asyncio.ensure_future(read()))
            self._known[name] = known
            while len(self._known) > KEPT_MAX:
                self._known.pop(next(iter(self._known)))
        return await asyncio.shield(known[1])


def _read(http: httpx.Client, panel: Panel, span: Span, request: BoardRequest) -> PanelAnswer:
    try:
        return PanelAnswer(panel, tuple(read_panel(http, panel, span, line=request.line or ".*")), "")
    except PrometheusError as error:
        return PanelAnswer(panel, (), str(error))
