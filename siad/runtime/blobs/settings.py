"""Settings of the blob store."""

from collections.abc import Mapping
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from siad.runtime.settings import Settings


class StoreSettings(Settings):
    """Read from ``SIAD_STORE_*``."""

    model_config = SettingsConfigDict(env_prefix="SIAD_STORE_")

    # name of the bucket; no default, since weights in the wrong bucket would serve the wrong plant
    bucket: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
    endpoint_url: str | None = None  # address of the store; unset: AWS
    access_key: SecretStr | None = None  # unset, as the secret: the credentials that boto3 finds (role, profile)
    secret_key: SecretStr | None = None  # belongs to the access key
    region: str = "us-east-1"  # of the bucket
    create_bucket: bool = False  # create a missing bucket at the start; for one machine
    max_connections: int = Field(default=32, ge=1)  # concurrent connections; at least the captures in flight
    connect_timeout_s: float = Field(default=3.0, gt=0)  # to open a connection; then the call is retried
    read_timeout_s: float = Field(default=10.0, gt=0)  # between two bytes of an answer; then the call is retried
    part_bytes: int = Field(
        default=8 * 2**20, ge=5 * 2**20
    )  # larger objects are uploaded in parts of this size; S3 requires 5 MB

    @classmethod
    def of(cls, env: Mapping[str, str]) -> Self:
        """Read the settings from an environment given as a mapping."""
        prefix = str(cls.model_config.get("env_prefix", ""))
        return cls.model_validate({name.removeprefix(prefix).lower(): value for name, value in env.items()})

    @model_validator(mode="after")
    def _make_sense(self) -> Self:
        if self.endpoint_url is not None:
            address = urlsplit(self.endpoint_url)
            if address.scheme not in {"http", "https"} or not address.hostname:
                msg = f"endpoint_url {self.endpoint_url!r} is not an address; write http://host:port or https://host"
                raise ValueError(msg)
        if (self.access_key is None) != (self.secret_key is None):
            given, missing = ("access_key", "secret_key") if self.secret_key is None else ("secret_key", "access_key")
            msg = f"{given} is set and {missing} is not; set both, or neither to use the credentials that boto3 finds"
            raise ValueError(msg)
        return self
