"""Settings: frozen objects, read once from the environment in ``app.py``."""

import ipaddress
import os
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any, ClassVar, Final, Literal, Self

from pydantic import Field, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from siad.runtime.validation import plain_reason

NAMES: Final = ("SIAD_AUTH", "SIAD_API_KEY")  # of every stage; of commands
PREFIXES: Final = tuple(
    f"SIAD_{part}_" for part in ("BUS", "STORE", "INGEST", "LABELER", "CONSOLE", "TRAINER", "INFERENCE")
)


class Settings(BaseSettings):
    """Frozen settings under one prefix; ``load`` refuses unknown names."""

    model_config = SettingsConfigDict(frozen=True, case_sensitive=False)
    renamed: ClassVar[Mapping[str, str]] = {}  # former name in the environment -> the name to set instead

    @classmethod
    def names(cls) -> list[str]:
        """Names of the settings in the environment, in order."""
        return sorted(f"{cls.model_config.get('env_prefix', '')}{name}".upper() for name in cls.model_fields)

    @classmethod
    def load(cls, env: Mapping[str, str] | None = None) -> Self:
        """Read the environment; refuse missing, invalid or unknown names.

        Args:
            env: replaces the environment; has at least its names.

        Raises:
            ValueError: lists every wrong name, its value (except secrets), and the names that may have been meant.
        """
        env = os.environ if env is None else env
        prefix = str(cls.model_config.get("env_prefix", "")).upper()
        known = cls.names()
        values = {name.upper(): value for name, value in env.items() if name.upper().startswith(prefix)}
        # pydantic-settings ignores unknown names, so a misspelt one would leave the default in force
        unknown = sorted(name for name in env if name.upper().startswith(prefix) and name.upper() not in known)
        if renamed := [f"{name} is now {cls.renamed[name.upper()]}" for name in unknown if name.upper() in cls.renamed]:
            msg = (
                f"settings were renamed, nothing was started: {', '.join(renamed)}. Set the new name and unset the old."
            )
            raise ValueError(msg)
        problems, settings = [], None
        if unknown:
            problems.append(
                f"unknown settings {', '.join(unknown)}, nothing was started. "
                f"Correct or unset them{describe_nearest(unknown, known, prefix)}"
            )
        named = {name.removeprefix(prefix).lower(): value for name, value in values.items() if name in known}
        try:
            settings = cls.model_validate(named)
        except ValidationError as error:
            problems.append(_describe(error, prefix, cls.model_fields))  # pydantic's own text shows secrets
        if problems or settings is None:
            raise ValueError("\n".join(problems))
        return settings


class StageSettings(Settings):
    """Settings of every stage, under its own prefix ``SIAD_<STAGE>_``."""

    http_host: str = "127.0.0.1"  # address that the HTTP server listens on
    http_port: int = Field(default=8080, ge=0, le=65535)  # 0: any free port; each stage has its own default
    allow_remote: bool = False  # must be true for an http_host beyond loopback; SIAD_AUTH=required asks for credentials
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"  # least severe level that is logged
    drain_s: float = Field(default=10.0, gt=0)  # after the signal to stop, for what is in flight
    stuck_after_s: float = Field(default=120.0, gt=0)  # with lag and without progress or pause; then liveness fails
    poison_max: int = Field(default=20, ge=2)  # failures in a row: of one line quarantine it, of several stop the stage
    probe_every_s: float = Field(default=60.0, gt=0)  # between trial records of a quarantined line or stopped stage

    @model_validator(mode="after")
    def _keep_to_loopback(self) -> Self:
        if not self.allow_remote and not is_loopback(self.http_host):
            msg = (
                f"http_host {self.http_host!r} can be reached from other machines; set allow_remote=true, and "
                "SIAD_AUTH=required unless a proxy or firewall in front of it controls access"
            )
            raise ValueError(msg)
        return self


def describe_nearest(names: Collection[str], known: Collection[str], prefix: str) -> str:
    """Say which known names may have been meant; else list all."""
    ends = [name.removeprefix(prefix) for name in known]
    nearest = {name: get_close_matches(name.upper().removeprefix(prefix), ends, n=1) for name in names}
    meant = [f"{name}: did you mean {prefix}{found[0]}?" for name, found in nearest.items() if found]
    rest = "" if len(meant) == len(nearest) else f"; known: {', '.join(sorted(known))}"
    return (f" ({' '.join(meant)})" if meant else "") + rest


def without_effect(env: Collection[str]) -> list[str]:
    """List names that look like settings and that no process reads."""
    known = (*NAMES, *PREFIXES)
    return sorted(name for name in env if name.upper().startswith("SIAD_") and not name.upper().startswith(known))


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens on ``host``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # a host name may resolve to any address


def _describe(error: ValidationError, prefix: str, fields: dict[str, FieldInfo]) -> str:
    lines = []
    for problem in error.errors():
        if not problem["loc"]:
            lines.append(f"{prefix}*: {plain_reason(problem['msg'])}")
            continue
        name = str(problem["loc"][0])
        env = f"{prefix}{name}".upper()
        if problem["type"] == "missing":
            lines.append(f"{env} is not set and has no default")
        else:
            shown = _shown(name, problem["input"], fields)
            lines.append(f"{env}={shown} refused: {plain_reason(problem['msg'])}")
    return f"settings refused, nothing was started. {'; '.join(lines)}"


def _shown(name: str, value: Any, fields: dict[str, FieldInfo]) -> str:
    field = next((field for known, field in fields.items() if known.upper() == name.upper()), None)
    secret = field is not None and "Secret" in str(field.annotation)
    return "(hidden)" if secret else repr(value)
