"""Settings: the environment in, one frozen object out. Read once, in a stage's ``app.py``."""

import ipaddress
import os
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Frozen settings under one prefix; ``load`` also refuses names it does not know."""

    model_config = SettingsConfigDict(frozen=True, case_sensitive=False)
    renamed: ClassVar[Mapping[str, str]] = {}  # former name in the environment -> the name to set instead

    @classmethod
    def load(cls) -> Self:
        """Read the environment once; stop the start on a missing, bad or unknown name.

        Raises:
            ValueError: says every name that is wrong, its value (secrets apart) and what is known.
        """
        prefix = str(cls.model_config.get("env_prefix", "")).upper()
        known = sorted(f"{prefix}{name}".upper() for name in cls.model_fields)
        # pydantic-settings takes unknown names in silence, so a typing error would leave the default in force
        unknown = sorted(name for name in os.environ if name.upper().startswith(prefix) and name.upper() not in known)
        if renamed := [f"{name} is now {cls.renamed[name.upper()]}" for name in unknown if name.upper() in cls.renamed]:
            msg = (
                f"settings were renamed, nothing was started: {', '.join(renamed)}. Set the new name and unset the old."
            )
            raise ValueError(msg)
        if unknown:
            msg = f"unknown settings {', '.join(unknown)}; {prefix}* knows {', '.join(known)}. Correct or unset them."
            raise ValueError(msg)
        try:
            return cls()
        except ValidationError as error:
            raise ValueError(_words(error, prefix, cls.model_fields)) from None  # pydantic's own words show secrets


class StageSettings(Settings):
    """What every stage can be told, under its own ``SIAD_<STAGE>_*``."""

    http_host: str = "127.0.0.1"  # where it listens
    http_port: int = Field(default=8080, ge=0, le=65535)  # 0: any free port; each stage has a default of its own
    allow_remote: bool = False  # there are no accounts yet, so listening beyond loopback must be said twice
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    drain_s: float = Field(default=10.0, gt=0)  # for what is in flight when the stage is told to stop
    stuck_after_s: float = Field(default=120.0, gt=0)  # lag, not paused and no progress for so long is dead
    poison_max: int = Field(default=20, ge=2)  # in a row: of one line, it is quarantined; of several, the stage stops
    probe_every_s: float = Field(default=60.0, gt=0)  # how often one record of what is quarantined, or stops, is tried

    @model_validator(mode="after")
    def _keep_to_loopback(self) -> Self:
        if not self.allow_remote and not is_loopback(self.http_host):
            msg = (
                f"http_host {self.http_host!r} can be reached from other machines and there are no accounts; "
                "set allow_remote=true if something in front of it keeps strangers out"
            )
            raise ValueError(msg)
        return self


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens on ``host``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # a name: nobody knows where it will point


def _words(error: ValidationError, prefix: str, fields: dict[str, FieldInfo]) -> str:
    lines = []
    for problem in error.errors():
        if not problem["loc"]:
            lines.append(f"{prefix}*: {problem['msg'].removeprefix('Value error, ')}")
            continue
        name = str(problem["loc"][0])
        env = f"{prefix}{name}".upper()
        if problem["type"] == "missing":
            lines.append(f"{env} is not set and has no default")
        else:
            lines.append(f"{env}={_shown(name, problem['input'], fields)} refused: {problem['msg']}")
    return f"settings refused, nothing was started. {'; '.join(lines)}"


def _shown(name: str, value: Any, fields: dict[str, FieldInfo]) -> str:
    field = next((field for known, field in fields.items() if known.upper() == name.upper()), None)
    secret = field is not None and "Secret" in str(field.annotation)
    return "(hidden)" if secret else repr(value)
