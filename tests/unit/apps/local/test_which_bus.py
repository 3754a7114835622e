import os
from pathlib import Path

import pytest

from siad.apps.local.which_bus import ADDRESS, BusKind, begun_on, choose_bus, mark_begun

AUTO, KAFKA, EMBEDDED = BusKind.AUTO, BusKind.KAFKA, BusKind.EMBEDDED


def no_java() -> str:
    return "no Java on PATH"


def java() -> None:
    return None


def never_asked() -> str | None:
    raise AssertionError


def test_kafka_is_taken_where_it_can_be_had(tmp_path: Path) -> None:
    assert choose_bus(AUTO, tmp_path, {}, why_no_kafka=java).kind is KAFKA


def test_without_kafka_the_embedded_bus_is_taken_and_says_why_and_what_is_lost(tmp_path: Path) -> None:
    chosen = choose_bus(AUTO, tmp_path, {}, why_no_kafka=no_java)
    assert (chosen.kind, chosen.address) == (EMBEDDED, f"embedded://{tmp_path}/embedded/bus.sqlite")
    assert "no Java on PATH" in chosen.said
    assert "each stage is one process" in chosen.said


def test_your_own_bus_goes_before_all_and_nobody_looks_for_java(tmp_path: Path) -> None:
    yours = {address: choose_bus(AUTO, tmp_path, {ADDRESS: address}, why_no_kafka=never_asked) for address in OWN}
    assert {address: chosen.kind for address, chosen in yours.items()} == OWN
    assert all(chosen.address in chosen.said for chosen in yours.values() if chosen.address)


OWN = {"kafka-1:9092,kafka-2:9092": KAFKA, "embedded:///srv/bus.sqlite": EMBEDDED}


def test_two_wishes_at_once_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"--bus kafka .* SIAD_BUS_BOOTSTRAP=k:1 names yours"):
        choose_bus(KAFKA, tmp_path, {ADDRESS: "k:1"}, why_no_kafka=java)


def test_a_folder_stays_with_the_bus_that_it_was_begun_on(tmp_path: Path) -> None:
    mark_begun(tmp_path, EMBEDDED)
    chosen = choose_bus(AUTO, tmp_path, {}, why_no_kafka=java)
    assert chosen.kind is EMBEDDED
    assert "was begun on it" in chosen.said


def test_events_that_wait_in_a_kafka_that_is_gone_are_not_left_behind_in_silence(tmp_path: Path) -> None:
    (tmp_path / "kafka").mkdir()  # as left by a SIAD that made no marks
    with pytest.raises(RuntimeError, match=r"begun on Apache Kafka, .*no Java on PATH.*--bus embedded"):
        choose_bus(AUTO, tmp_path, {}, why_no_kafka=no_java)


def test_who_changes_over_is_told_what_stays_behind(tmp_path: Path) -> None:
    mark_begun(tmp_path, KAFKA)
    chosen = choose_bus(EMBEDDED, tmp_path, {}, why_no_kafka=never_asked)
    assert chosen.kind is EMBEDDED
    assert f"what waits in {tmp_path / 'kafka'} from an earlier start is not read" in chosen.said
    assert "not read" not in choose_bus(KAFKA, tmp_path, {}, why_no_kafka=never_asked).said


def test_of_two_buses_in_a_folder_the_one_that_ran_last_counts(tmp_path: Path) -> None:
    assert begun_on(tmp_path) is None
    for first, second in ((KAFKA, EMBEDDED), (EMBEDDED, KAFKA)):
        mark_begun(tmp_path, first)
        os.utime(tmp_path / first / "in-use", (1, 1))
        mark_begun(tmp_path, second)
        assert begun_on(tmp_path) is second
