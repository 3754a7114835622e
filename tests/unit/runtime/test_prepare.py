"""Readiness shows a preparation that is denied, until it succeeds."""

from siad.contracts.errors import DeniedError, TransientError
from siad.runtime.settings import StageSettings
from siad.runtime.testing.clock import FakeClock
from siad.runtime.worker import StageProcess, prepare


async def test_a_denied_preparation_is_shown_until_it_succeeds() -> None:
    failures: list[Exception] = [TransientError("away"), DeniedError("no right"), TransientError("away")]
    shown: list[dict[str, str]] = []
    stage = StageProcess("ingest", StageSettings(http_port=0), clock=FakeClock())

    async def create_topics() -> None:
        shown.append(dict(stage.health.reports))
        if failures:
            raise failures.pop(0)

    stage.preparations["topics"] = create_topics
    await prepare(stage)
    assert shown == [{}, {}, {"topics": "no right"}, {}]
    assert stage.health.reports == {}
