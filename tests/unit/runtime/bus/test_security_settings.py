"""Settings of security that fit together, and the words for those that do not."""

from pathlib import Path

import pytest

from siad.runtime.bus.kafka.security import security_of
from siad.runtime.bus.settings import BusSettings

SASL = {"SIAD_BUS_SASL_USER": "siad", "SIAD_BUS_SASL_PASSWORD_FILE": "FILE"}
CLIENT = {"SIAD_BUS_TLS_CERT_FILE": "FILE", "SIAD_BUS_TLS_KEY_FILE": "FILE"}


@pytest.mark.parametrize(
    ("protocol", "settings", "told"),
    [
        ("PLAINTEXT", SASL, "sasl_user has no effect with security_protocol=PLAINTEXT; set that to SASL_SSL"),
        ("SSL", SASL, "sasl_user has no effect with security_protocol=SSL"),
        ("PLAINTEXT", CLIENT, "tls_cert_file has no effect with security_protocol=PLAINTEXT; set that to SSL or"),
        ("SASL_PLAINTEXT", {**SASL, "SIAD_BUS_TLS_CA_FILE": "FILE"}, "tls_ca_file has no effect"),
        ("SASL_SSL", {}, "security_protocol is SASL_SSL, and sasl_user and sasl_password_file not set"),
        ("SASL_SSL", {"SIAD_BUS_SASL_USER": "siad"}, "and sasl_password_file not set"),
        ("SASL_PLAINTEXT", {**SASL, "SIAD_BUS_SASL_MECHANISM": "PLAIN"}, "send the password in clear text"),
        ("SSL", {"SIAD_BUS_TLS_CERT_FILE": "FILE"}, "a client's certificate needs both"),
        ("SSL", {"SIAD_BUS_TLS_CA_FILE": "/gone.crt"}, "SIAD_BUS_TLS_CA_FILE='/gone.crt' refused"),
        (
            "SSL",
            {"SIAD_BUS_BOOTSTRAP": "embedded:///var/bus.sqlite"},
            "security_protocol is SSL, and the bus is a file",
        ),
        ("TLS", {}, "SIAD_BUS_SECURITY_PROTOCOL='TLS' refused"),
    ],
)
def test_settings_that_do_not_fit_stop_the_start(
    tmp_path: Path, protocol: str, settings: dict[str, str], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        BusSettings.load(env_of(tmp_path, protocol, settings))


def test_a_client_gets_account_mechanism_and_context(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("secret\r\n")
    given = security_of(BusSettings.load(env_of(tmp_path, "SASL_SSL", SASL)))
    assert given["security_protocol"] == "SASL_SSL"
    assert given["sasl_mechanism"] == "SCRAM-SHA-512"
    assert (given["sasl_plain_username"], given["sasl_plain_password"]) == ("siad", "secret")
    assert given["ssl_context"].check_hostname
    assert security_of(BusSettings(bootstrap="kafka:9092")) == {"security_protocol": "PLAINTEXT"}


def env_of(folder: Path, protocol: str, settings: dict[str, str]) -> dict[str, str]:
    """Environment with the path of an existing file in place of FILE."""
    file = folder / "file"
    file.touch()
    own = {name: str(file) if value == "FILE" else value for name, value in settings.items()}
    return {"SIAD_BUS_BOOTSTRAP": "kafka:9092", "SIAD_BUS_SECURITY_PROTOCOL": protocol, **own}
