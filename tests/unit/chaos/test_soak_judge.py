"""The soak's judgement: a leak is found among noise, a steady process is left alone."""

import os
import random
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks.soak_chart import write_chart
from benchmarks.soak_judge import SLOPE_MAX_MB_MIN, Sample, judge_lag, judge_memory, passers_by
from benchmarks.soak_processes import below, name_of_command, rss_mb

STEADY, LEAKING, SHORT_LIVED = 11, 12, 13
NAMES = {STEADY: "inference", LEAKING: "labeler", SHORT_LIVED: "Ray: IDLE"}


def samples(*, leak_mb_min: float, growing_lag: float = 0.0) -> list[Sample]:
    """Ten minutes, one sample in 5 s; everything grows in the first three minutes, as caches do."""
    draw = random.Random(1)
    found = []
    for number in range(120):
        at_s = 5.0 * number
        warm = min(at_s, 170.0)
        rss = {
            STEADY: 400 + warm + draw.gauss(0, 3),
            LEAKING: 300 + warm + leak_mb_min * at_s / 60 + draw.gauss(0, 3),
        }
        if number % 50 < 20:
            rss[SHORT_LIVED] = 90.0
        lag = {"inference": draw.randrange(8), "trainer": int(growing_lag * at_s) + draw.randrange(30)}
        found.append(Sample(at_s, rss, lag))
    return found


def test_growth_before_the_third_minute_is_forgiven() -> None:
    assert all(row.is_flat for row in judge_memory(samples(leak_mb_min=0.0), NAMES))


def test_a_leak_over_the_bound_is_found_and_told_by_name() -> None:
    rows = {row.name: row for row in judge_memory(samples(leak_mb_min=2 * SLOPE_MAX_MB_MIN), NAMES)}
    assert not rows["labeler"].is_flat
    assert rows["labeler"].slope_min == pytest.approx(2 * SLOPE_MAX_MB_MIN, abs=0.4)
    assert rows["inference"].is_flat


def test_a_process_that_came_and_went_is_told_and_not_judged() -> None:
    seen = samples(leak_mb_min=0.0)
    assert {row.name for row in judge_memory(seen, NAMES)} == {"inference", "labeler"}
    assert passers_by(seen, NAMES) == ["Ray: IDLE"]


def test_lag_that_waves_is_flat_and_lag_that_grows_is_not() -> None:
    assert all(row.is_flat for row in judge_lag(samples(leak_mb_min=0.0), per_s=5.0))
    rows = {row.name: row for row in judge_lag(samples(leak_mb_min=0.0, growing_lag=0.05), per_s=5.0)}
    assert rows["inference"].is_flat
    assert not rows["trainer"].is_flat


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("/v/bin/python -m services.inference", "inference"),
        ("/v/bin/python -m services.labeler.scorer", "scorer (deploys)"),
        ("java -Xmx256m -cp jars/* kafka.Kafka server.properties", "broker (Kafka)"),
        ("/v/bin/weed -logtostderr=true mini -dir=/d", "store (SeaweedFS)"),
        ("ray::ServeReplica:siad-labeler:Scorer.handle", "Ray: ServeReplica:siad:labeler"),
        ("/v/ray/core/src/ray/raylet/raylet --raylet_socket_name=x", "Ray: raylet"),
        ("/v/bin/python -u /v/site-packages/ray/_private/log_monitor.py --session-dir=/d", "Ray: log_monitor"),
        ("/v/bin/python /v/site-packages/ray/dashboard/dashboard.py --port=8265", "Ray: dashboard"),
        ("/v/bin/python -m ray.util.client.server --port=4", "Ray: client server"),
        ("/v/bin/python /v/bin/ray start --head --block", "Ray: start"),
        ("/usr/bin/python odd.py", "python"),
    ],
)
def test_a_process_is_named_by_its_command_line(command: str, name: str) -> None:
    assert name_of_command(command).startswith(name.split(":siad", maxsplit=1)[0])


def test_processes_below_one_are_found_with_their_memory() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert child.pid in below(os.getpid())
        assert (rss_mb(child.pid) or 0.0) > 0
    finally:
        child.communicate()
    assert rss_mb(child.pid) is None


def test_the_chart_is_well_formed(tmp_path: Path) -> None:
    path = tmp_path / "chart.svg"
    write_chart(path, samples(leak_mb_min=1.0), NAMES, title="5 captures/s & <lines>")
    lines = ET.parse(path).getroot().findall("{http://www.w3.org/2000/svg}polyline")  # noqa: S314 - our own
    assert len(lines) == 4
