"""Where the broker is, and how topics are made on it."""

from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict

from siad.runtime.settings import Settings

EMBEDDED = "embedded://"  # what the address of the bus in a file begins with


class BusSettings(Settings):
    """Read from ``SIAD_BUS_*``."""

    model_config = SettingsConfigDict(env_prefix="SIAD_BUS_")

    # host:port, ... or embedded:///folder/file.sqlite; no default: events on the wrong broker judge the wrong line
    bootstrap: str = Field(min_length=1)
    partitions: int = Field(default=6, ge=1)  # of a work topic that is made new; bounds the members of a group
    replication: int = Field(default=1, ge=1)  # copies of every topic made new; 3 in a plant
    min_insync_replicas: int = Field(default=1, ge=1)  # copies that must have a message before it counts; 2 in a plant
    work_retention_h: float = Field(default=7 * 24, gt=0)  # the store is the record, so a week to catch up is plenty
    dead_letter_retention_h: float = Field(default=90 * 24, gt=0)  # people look at them, some day
    client_id: str = Field(default="siad", min_length=1)  # how the broker's logs and quotas name us
    session_timeout_s: float = Field(default=10.0, ge=1)  # a member silent for so long is dead
    rebalance_timeout_s: float = Field(default=30.0, ge=1)  # for every member to finish what is in hand and join again
    rejoin_timeout_s: float = Field(default=120.0, ge=1)  # a member that is out of its group for longer is stuck
    publish_timeout_s: float = Field(default=15.0, gt=0)  # then the publish counts as failed, and is tried again
    request_timeout_s: float = Field(default=15.0, gt=0)  # for commits, lags and the like

    @field_validator("bootstrap")
    @classmethod
    def _be_one_of_two(cls, bootstrap: str) -> str:
        """A path that is not absolute would be another file in every process."""
        if bootstrap.startswith(EMBEDDED):
            if not path_of(bootstrap).is_absolute() or bootstrap.endswith("/"):
                msg = f"{EMBEDDED} wants the absolute path of a file, as in {EMBEDDED}/var/lib/siad/bus.sqlite"
                raise ValueError(msg)
        elif "://" in bootstrap:
            msg = f"the one scheme known is {EMBEDDED}; Kafka's address has none: host:port, host:port"
            raise ValueError(msg)
        return bootstrap


def path_of(bootstrap: str) -> Path:
    """The file of an embedded bus, by its address."""
    return Path(bootstrap.removeprefix(EMBEDDED))
