"""Settings of the console, read once in ``app.py``."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from siad.runtime.settings import StageSettings


class ConsoleSettings(StageSettings):
    """Settings from ``SIAD_CONSOLE_*``."""

    model_config = SettingsConfigDict(env_prefix="SIAD_CONSOLE_")

    http_port: int = Field(default=8405, ge=0, le=65535)
    store_threads: int = Field(default=8, ge=1)  # concurrent calls to the store
