"""Free ports: all different, free, and outside the range that the kernel assigns from."""

import os
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from siad.apps.local import ports
from siad.apps.local.ports import PortRequest, choose_ports, free_ports

KERNELS = Path("/proc/sys/net/ipv4/ip_local_port_range")


def test_they_differ_and_are_free() -> None:
    found = free_ports(40)
    assert len(set(found)) == 40
    with ExitStack() as held:
        for port in found:
            held.enter_context(socket.create_server(("127.0.0.1", port)))


@pytest.mark.skipif(not KERNELS.exists(), reason="this system does not publish its range of ephemeral ports")
def test_none_is_one_that_the_kernel_hands_out() -> None:
    low, high = map(int, KERNELS.read_text().split())
    if low <= ports.FIRST_PORT:
        pytest.skip("the kernel assigns from the whole range on this machine")
    assert [port for port in free_ports(40) if low <= port <= high] == []


def test_where_the_range_is_used_up_the_kernel_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr("random.SystemRandom.sample", lambda *_: [port])
        assert port not in free_ports(3)


def test_more_than_there_are_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(ports, "_candidates", lambda _: iter([port]))
        with pytest.raises(OSError, match="fewer than 2 ports are free"):
            free_ports(2)


def request(preferred: int, fixed: int | None = None, *, setting: str = "SIAD_X_HTTP_PORT") -> PortRequest:
    return PortRequest(setting=setting, preferred=preferred, fixed=fixed)


def test_a_preferred_port_is_used_while_it_is_free() -> None:
    (port,) = free_ports(1)
    notes: list[str] = []
    assert choose_ports({"ingest": request(port)}, notes.append) == {"ingest": port}
    assert notes == []


def test_a_taken_preferred_port_is_replaced_and_told_with_its_holder() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        notes: list[str] = []
        chosen = choose_ports({"ingest": request(port)}, notes.append)["ingest"]
    assert chosen != port
    (note,) = notes
    assert f"ingest: port {port} is taken by " in note
    assert f"(process {os.getpid()})" in note
    assert f"using port {chosen}. SIAD_X_HTTP_PORT fixes the port" in note


def test_a_taken_fixed_port_is_refused_with_setting_and_holder() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            OSError, match=rf"SIAD_X_HTTP_PORT={port}: port {port} is taken by .*\(process {os.getpid()}\)"
        ):
            choose_ports({"ingest": request(1, port)}, lambda _: None)


def test_a_port_requested_twice_is_refused_with_both_settings() -> None:
    wanted = {"a": request(1, 5000, setting="SIAD_A_HTTP_PORT"), "b": request(2, 5000, setting="SIAD_B_HTTP_PORT")}
    with pytest.raises(OSError, match="SIAD_A_HTTP_PORT and SIAD_B_HTTP_PORT are both 5000"):
        choose_ports(wanted, lambda _: None)


def test_a_preferred_port_that_another_stage_fixed_is_replaced() -> None:
    (port,) = free_ports(1)
    notes: list[str] = []
    chosen = choose_ports({"a": request(port), "b": request(1, port)}, notes.append)
    assert chosen["b"] == port
    assert chosen["a"] != port
    assert "requested for another stage" in notes[0]


def test_port_zero_is_any_free_one_without_a_note() -> None:
    notes: list[str] = []
    assert choose_ports({"a": request(1, 0)}, notes.append)["a"] >= 1024
    assert notes == []


def test_an_address_of_another_machine_is_told() -> None:
    assert "can't listen on 192.0.2.1:5000" in ports.why_not_free("192.0.2.1", 5000)


def test_a_port_without_a_listener_has_no_holder() -> None:
    (port,) = free_ports(1)
    assert ports.holder_of(port) == ""
