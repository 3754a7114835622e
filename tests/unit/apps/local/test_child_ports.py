"""Free ports: all different, free, and never those that the kernel hands out by itself."""

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from siad.apps.local import child
from siad.apps.local.child import free_ports

KERNELS = Path("/proc/sys/net/ipv4/ip_local_port_range")


def test_they_differ_and_are_free() -> None:
    ports = free_ports(40)
    assert len(set(ports)) == 40
    with ExitStack() as held:
        for port in ports:
            held.enter_context(socket.create_server(("127.0.0.1", port)))


@pytest.mark.skipif(not KERNELS.exists(), reason="this system does not say which ports it hands out")
def test_none_is_one_that_the_kernel_hands_out() -> None:
    low, high = map(int, KERNELS.read_text().split())
    if low <= child.FIRST_PORT:
        pytest.skip("this machine hands out all that we would choose from")
    assert [port for port in free_ports(40) if low <= port <= high] == []


def test_where_the_range_is_used_up_the_kernel_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr("random.SystemRandom.sample", lambda *_: [port])
        assert port not in free_ports(3)


def test_more_than_there_are_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(child, "_candidates", lambda _: iter([port]))
        with pytest.raises(OSError, match="no 2 free ports"):
            free_ports(2)
