"""Free ports: all different, free, and outside the range that the kernel assigns from."""

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from siad.apps.local import ports
from siad.apps.local.ports import free_ports

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
