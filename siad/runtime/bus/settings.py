"""Settings of the message bus: address, security, topics, timeouts."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, FilePath, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from siad.runtime.settings import Settings

EMBEDDED = "embedded://"  # prefix of the address of an embedded bus


class BusSettings(Settings):
    """Read from ``SIAD_BUS_*``."""

    model_config = SettingsConfigDict(env_prefix="SIAD_BUS_")

    # host:port, ... or embedded:///folder/file.sqlite; no default: events on a wrong broker would reach a wrong plant
    bootstrap: str = Field(min_length=1)
    # SASL_*: with a user and a password; *SSL: encrypted, and the broker shows a certificate
    security_protocol: Literal["PLAINTEXT", "SASL_PLAINTEXT", "SSL", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] = "SCRAM-SHA-512"  # PLAIN only with SASL_SSL
    sasl_user: str | None = Field(default=None, min_length=1)  # name of the account on the broker
    sasl_password_file: FilePath | None = None  # file with the account's password; read for every new client
    tls_ca_file: FilePath | None = None  # certificates (PEM) that issued the broker's; unset: those of the system
    tls_cert_file: FilePath | None = None  # certificate (PEM) of this client, where the broker asks for one
    tls_key_file: FilePath | None = None  # private key (PEM, not encrypted) of that certificate
    partitions: int = Field(default=6, ge=1)  # of a new work topic; bounds the members of a group
    replication: int = Field(default=1, ge=1)  # copies of every new topic; use 3 in a plant
    min_insync_replicas: int = Field(default=1, ge=1)  # copies before a message is acknowledged; 2 in a plant
    work_retention_h: float = Field(default=7 * 24, gt=0)  # the store keeps the data; a stage may be down for a week
    dead_letter_retention_h: float = Field(default=90 * 24, gt=0)  # time for operators to examine them
    client_id: str = Field(default="siad", min_length=1)  # name of this client in the broker's logs and quotas
    session_timeout_s: float = Field(default=10.0, ge=1)  # without a heartbeat for so long a member is removed
    rebalance_timeout_s: float = Field(default=30.0, ge=1)  # to finish records in flight and rejoin
    rejoin_timeout_s: float = Field(default=120.0, ge=1)  # a member outside its group for longer ends its process
    publish_timeout_s: float = Field(default=15.0, gt=0)  # then the publish has failed, and is retried
    request_timeout_s: float = Field(default=15.0, gt=0)  # for commits, offsets and metadata

    @field_validator("bootstrap")
    @classmethod
    def _be_one_of_two(cls, bootstrap: str) -> str:
        """Refuse a relative path: each process would use another file."""
        if bootstrap.startswith(EMBEDDED):
            if not path_of(bootstrap).is_absolute() or bootstrap.endswith("/"):
                msg = f"{EMBEDDED} needs the absolute path of a file, for example {EMBEDDED}/var/lib/siad/bus.sqlite"
                raise ValueError(msg)
        elif "://" in bootstrap:
            msg = (
                f"unknown scheme; use {EMBEDDED}/folder/file.sqlite, or host:port,host:port without a scheme for Kafka"
            )
            raise ValueError(msg)
        return bootstrap

    @model_validator(mode="after")
    def _be_secured_as_a_whole(self) -> Self:
        """Refuse settings of security that another one leaves without effect."""
        protocol = self.security_protocol
        sasl = {"sasl_user": self.sasl_user, "sasl_password_file": self.sasl_password_file}
        client = {"tls_cert_file": self.tls_cert_file, "tls_key_file": self.tls_key_file}
        unused = {} if protocol.startswith("SASL_") else sasl
        unused = unused if protocol.endswith("SSL") else {**unused, **client, "tls_ca_file": self.tls_ca_file}
        if self.bootstrap.startswith(EMBEDDED) and protocol != "PLAINTEXT":
            msg = f"security_protocol is {protocol}, and the bus is a file; leave it out, or name a Kafka in bootstrap"
        elif given := [name for name, value in unused.items() if value is not None]:
            needed = "SASL_SSL" if given[0].startswith("sasl") else "SSL or SASL_SSL"
            msg = f"{given[0]} has no effect with security_protocol={protocol}; set that to {needed}, or leave it out"
        elif protocol.startswith("SASL_") and (missing := [name for name, value in sasl.items() if value is None]):
            msg = f"security_protocol is {protocol}, and {' and '.join(missing)} not set; an account needs both"
        elif protocol == "SASL_PLAINTEXT" and self.sasl_mechanism == "PLAIN":
            msg = "sasl_mechanism PLAIN would send the password in clear text; use a SCRAM mechanism, or SASL_SSL"
        elif (self.tls_cert_file is None) != (self.tls_key_file is None):
            msg = "of tls_cert_file and tls_key_file one is set; a client's certificate needs both"
        else:
            return self
        raise ValueError(msg)


def path_of(bootstrap: str) -> Path:
    """Path of an embedded bus from its address."""
    return Path(bootstrap.removeprefix(EMBEDDED))
