"""Where the store is."""

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from siad.runtime.settings import Settings


class StoreSettings(Settings):
    """Read from ``SIAD_STORE_*``."""

    model_config = SettingsConfigDict(env_prefix="SIAD_STORE_")

    bucket: str = Field(min_length=3)  # no default: weights in the wrong bucket would serve the wrong plant
    endpoint_url: str | None = None  # None: AWS
    access_key: SecretStr | None = None  # None: what boto3 finds by itself (role, profile)
    secret_key: SecretStr | None = None
    region: str = "us-east-1"
    create_bucket: bool = False  # make the bucket at the start where it is missing; for one machine
    max_connections: int = Field(default=32, ge=1)  # to the store at once; at least the captures in flight
    connect_timeout_s: float = Field(default=3.0, gt=0)
    read_timeout_s: float = Field(default=20.0, gt=0)  # a stalled answer counts as the store being away
    part_bytes: int = Field(default=8 * 2**20, ge=5 * 2**20)  # objects over it go up in parts of it; S3 wants 5 MB
