"""Where the store is."""

from collections.abc import Mapping
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from siad.runtime.settings import Settings


class StoreSettings(Settings):
    """Read from ``SIAD_STORE_*``."""

    model_config = SettingsConfigDict(env_prefix="SIAD_STORE_")

    # no default: weights in the wrong bucket would serve the wrong plant
    bucket: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
    endpoint_url: str | None = None  # None: AWS
    access_key: SecretStr | None = None  # None: what boto3 finds by itself (role, profile)
    secret_key: SecretStr | None = None
    region: str = "us-east-1"
    create_bucket: bool = False  # make the bucket at the start where it is missing; for one machine
    max_connections: int = Field(default=32, ge=1)  # to the store at once; at least the captures in flight
    connect_timeout_s: float = Field(default=3.0, gt=0)
    read_timeout_s: float = Field(default=10.0, gt=0)  # without a byte; a stalled answer counts as the store being away
    part_bytes: int = Field(default=8 * 2**20, ge=5 * 2**20)  # objects over it go up in parts of it; S3 wants 5 MB

    @classmethod
    def of(cls, env: Mapping[str, str]) -> Self:
        """What a stage with that environment would read."""
        prefix = str(cls.model_config.get("env_prefix", ""))
        return cls.model_validate({name.removeprefix(prefix).lower(): value for name, value in env.items()})

    @model_validator(mode="after")
    def _make_sense(self) -> Self:
        if self.endpoint_url is not None:
            address = urlsplit(self.endpoint_url)
            if address.scheme not in {"http", "https"} or not address.hostname:
                msg = f"endpoint_url {self.endpoint_url!r} is no address; write http://host:port or https://host"
                raise ValueError(msg)
        if (self.access_key is None) != (self.secret_key is None):
            given, missing = ("access_key", "secret_key") if self.secret_key is None else ("secret_key", "access_key")
            msg = f"{given} is set and {missing} is not; set both, or neither for what boto3 finds by itself"
            raise ValueError(msg)
        return self
