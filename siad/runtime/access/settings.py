"""Setting of access, alike in every stage."""

import os
from collections.abc import Mapping
from typing import Literal, Self

from pydantic_settings import SettingsConfigDict

from siad.runtime.settings import Settings


class AccessSettings(Settings):
    """Setting ``SIAD_AUTH``, the same in every stage."""

    model_config = SettingsConfigDict(env_prefix="SIAD_")

    # required: every request needs an API key or a session. off: processes that reach a stage are trusted, and only
    # browsers need a session; for one machine, where the stages listen on loopback
    auth: Literal["off", "required"] = "off"

    @classmethod
    def load(cls, env: Mapping[str, str] | None = None) -> Self:
        """Read the one name; others of this prefix have their own classes."""
        env = os.environ if env is None else env
        return super().load({name: value for name, value in env.items() if name.upper() in cls.names()})

    @property
    def is_required(self) -> bool:
        """Whether every request needs credentials."""
        return self.auth == "required"
