"""How the local store is told to keep to itself."""

from pathlib import Path

from siad.apps.local.weed import render_flags, render_identities

LISTENERS = ("master", "volume", "filer", "s3", "admin")
PORTS = {name: 40000 + number for number, name in enumerate([*LISTENERS, *(f"{name}.grpc" for name in LISTENERS)])}
FLAGS = render_flags(PORTS, volumes=Path("/data/volumes"), s3_config=Path("/data/s3.json"))


def test_it_is_told_to_listen_on_loopback_alone() -> None:
    assert {"-ip=127.0.0.1", "-ip.bind=127.0.0.1"} <= set(FLAGS)


def test_every_server_it_has_is_given_a_port_or_turned_off() -> None:
    for name, port in PORTS.items():
        server, _, grpc = name.partition(".")
        assert f"-{server}.port{'.grpc' if grpc else ''}={port}" in FLAGS
    assert {"-webdav=false", "-s3.port.iceberg=0", "-s3.port.lance=0", "-admin.ui=false"} <= set(FLAGS)


def test_telemetry_is_off_and_every_client_needs_keys() -> None:
    assert {"-master.telemetry=false", "-s3.config=/data/s3.json", "-s3.autoCreateBucket=false"} <= set(FLAGS)
    identities = render_identities({"access": "a", "secret": "s"})["identities"]
    assert isinstance(identities, list)
    assert [identity["credentials"] for identity in identities] == [[{"accessKey": "a", "secretKey": "s"}]]


def test_keys_are_not_on_the_command_line_where_others_could_read_them() -> None:
    assert not [flag for flag in FLAGS if "secret" in flag.lower() or "accesskey" in flag.lower()]
