import os
from pathlib import Path

import pytest

from siad.apps.local.bus_choice import ADDRESS, BusKind, choose_bus, last_bus, mark_in_use

AUTO, KAFKA, EMBEDDED = BusKind.AUTO, BusKind.KAFKA, BusKind.EMBEDDED


def no_java() -> str:
    return "no Java on PATH"


def java() -> None:
    return None


def never_called() -> str | None:
    raise AssertionError


def test_kafka_is_taken_where_it_can_be_had(tmp_path: Path) -> None:
    assert choose_bus(AUTO, tmp_path, {}, why_no_kafka=java).kind is KAFKA


def test_without_kafka_the_embedded_bus_is_taken_and_says_why_and_what_is_lost(tmp_path: Path) -> None:
    choice = choose_bus(AUTO, tmp_path, {}, why_no_kafka=no_java)
    assert (choice.kind, choice.address) == (EMBEDDED, f"embedded://{tmp_path}/embedded/bus.sqlite")
    assert "no Java on PATH" in choice.description
    assert "one process of each" in choice.description


def test_a_bus_in_the_environment_takes_precedence_and_java_is_not_checked(tmp_path: Path) -> None:
    yours = {address: choose_bus(AUTO, tmp_path, {ADDRESS: address}, why_no_kafka=never_called) for address in OWN}
    assert {address: choice.kind for address, choice in yours.items()} == OWN
    assert all(choice.address in choice.description for choice in yours.values() if choice.address)


OWN = {"kafka-1:9092,kafka-2:9092": KAFKA, "embedded:///srv/bus.sqlite": EMBEDDED}


def test_option_and_environment_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"--bus kafka .* SIAD_BUS_BOOTSTRAP=k:1 names yours"):
        choose_bus(KAFKA, tmp_path, {ADDRESS: "k:1"}, why_no_kafka=java)


def test_a_folder_keeps_the_bus_of_its_first_start(tmp_path: Path) -> None:
    mark_in_use(tmp_path, EMBEDDED)
    choice = choose_bus(AUTO, tmp_path, {}, why_no_kafka=java)
    assert choice.kind is EMBEDDED
    assert "was started with it" in choice.description


def test_unread_events_in_an_unavailable_kafka_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "kafka").mkdir()  # as left by a SIAD that made no marks
    with pytest.raises(RuntimeError, match=r"started with Apache Kafka, .*no Java on PATH.*--bus embedded"):
        choose_bus(AUTO, tmp_path, {}, why_no_kafka=no_java)


def test_a_switch_of_the_bus_names_unread_events(tmp_path: Path) -> None:
    mark_in_use(tmp_path, KAFKA)
    choice = choose_bus(EMBEDDED, tmp_path, {}, why_no_kafka=never_called)
    assert choice.kind is EMBEDDED
    assert f"events from an earlier start in {tmp_path / 'kafka'} are not read" in choice.description
    assert "not read" not in choose_bus(KAFKA, tmp_path, {}, why_no_kafka=never_called).description


def test_of_two_buses_in_a_folder_the_one_that_ran_last_counts(tmp_path: Path) -> None:
    assert last_bus(tmp_path) is None
    for first, second in ((KAFKA, EMBEDDED), (EMBEDDED, KAFKA)):
        mark_in_use(tmp_path, first)
        os.utime(tmp_path / first / "in-use", (1, 1))
        mark_in_use(tmp_path, second)
        assert last_bus(tmp_path) is second
