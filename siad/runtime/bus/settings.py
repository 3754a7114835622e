"""Settings of the message bus: address, topics, timeouts."""

from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict

from siad.runtime.settings import Settings

EMBEDDED = "embedded://"  # prefix of the address of an embedded bus


class BusSettings(Settings):
    """Read from ``SIAD_BUS_*``."""

    model_config = SettingsConfigDict(env_prefix="SIAD_BUS_")

    # host:port, ... or embedded:///folder/file.sqlite; no default: events on a wrong broker would reach a wrong plant
    bootstrap: str = Field(min_length=1)
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


def path_of(bootstrap: str) -> Path:
    """Path of an embedded bus from its address."""
    return Path(bootstrap.removeprefix(EMBEDDED))
