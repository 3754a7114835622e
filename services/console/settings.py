"""Settings of the console, read once in ``app.py``."""

from typing import Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from services.console.domain.identity import parse_role_rules
from siad.runtime.settings import StageSettings, is_loopback

DATABASES: Final = ("sqlite:////", "postgresql://")


class ConsoleSettings(StageSettings):
    """Settings from ``SIAD_CONSOLE_*``."""

    model_config = SettingsConfigDict(env_prefix="SIAD_CONSOLE_")

    http_port: int = Field(default=8405, ge=0, le=65535)
    # captures and answers of all lines: sqlite:////absolute/path or postgresql://user:password@host/database; empty: in
    # memory, and read from the topics again at every start
    database_url: SecretStr = SecretStr("")
    # address of the console as browsers have it, https://siad.plant.example; only sign-in by a provider needs it
    public_url: str = Field(default="", pattern=r"^(https?://[^/?#]+)?$")
    oidc_issuer: str = ""  # identity provider (OpenID Connect), https://login.plant.example/realm; empty: none
    oidc_name: str = "your company account"  # on the page's button, behind "Sign in with"
    oidc_client_id: str = ""  # of the console at the provider; the redirect address is PUBLIC_URL/v1/oidc/callback
    oidc_client_secret_file: str = ""  # path of a file with the client's secret; empty: a public client, PKCE alone
    oidc_roles_claim: str = ""  # claim of the ID token with the groups of a person, such as groups
    oidc_roles: str = ""  # roles of groups, separated by commas: VALUE=ROLE or VALUE=ROLE@LINE
    # people whose groups give no role: refuse, until an administrator gives one (siad account role), or viewer
    oidc_unknown: Literal["refuse", "viewer"] = "refuse"
    captures_max: int = Field(default=20_000, ge=1)  # newest captures held of each line, at about 1 kB each
    # records of each partition of verdicts and of pseudo-masks that are read at the start, while database_url is empty
    history_records: int = Field(default=20_000, ge=1)
    # new corrections that start a training run, as the review counts them: set it as SIAD_TRAINER_CORRECTIONS_MIN
    training_corrections: int = Field(default=10, ge=1)
    # address of ingest, to which new lines, settings and images of the page are passed on; empty: the page sends none
    ingest_url: str = Field(default="", pattern="^(https?://.+)?$")
    ingest_key: SecretStr = SecretStr("")  # API key that the console sends to ingest; empty: none
    # address of a Prometheus that scrapes SIAD, for the page Status; empty: it shows what the console itself knows
    prometheus_url: str = Field(default="", pattern="^(https?://[^@/?#]+(/.*)?)?$")
    image_max_bytes: int = Field(default=64 * 2**20, ge=1)  # of one image that is passed on to ingest
    mask_max_bytes: int = Field(default=16 * 2**20, ge=1)  # of one mask file
    import_max_bytes: int = Field(default=16 * 2**30, ge=1)  # of one archive; it waits in a temporary file
    body_timeout_s: float = Field(default=60.0, gt=0)  # to receive one mask
    accept_timeout_s: float = Field(default=20.0, gt=0)  # from the last byte to the broker's acknowledgement; then 503
    mask_threads: int = Field(default=1, ge=1)  # masks decoded at once, up to 70 MB each
    store_threads: int = Field(default=16, ge=1)  # concurrent calls to the store
    forget_every_s: float = Field(default=60.0, gt=0)  # between two removals of erased and expired captures
    thresholds_every_s: float = Field(default=10.0, gt=0)  # between two looks at the stream; an answer is used at once
    announce_every_s: float = Field(default=5.0, gt=0)  # between two attempts to publish what is stored

    @field_validator("oidc_roles")
    @classmethod
    def _require_rules(cls, value: str) -> str:
        parse_role_rules(value)
        return value

    @model_validator(mode="after")
    def _require_whole_provider(self) -> Self:
        if not self.oidc_issuer:
            return self
        url = urlsplit(self.oidc_issuer)
        if url.scheme != "https" and not (url.scheme == "http" and is_loopback(url.hostname or "")):
            msg = f"oidc_issuer {self.oidc_issuer!r} does not begin with https://, so its answers could be forged"
            raise ValueError(msg)
        if missing := [name for name in ("oidc_client_id", "public_url") if not getattr(self, name)]:
            msg = f"oidc_issuer is set and {' and '.join(missing)} not; set both, or unset it"
            raise ValueError(msg)
        return self

    @field_validator("database_url")
    @classmethod
    def _require_known_database(cls, value: SecretStr) -> SecretStr:
        url = value.get_secret_value()
        if url and not url.startswith(DATABASES):
            msg = f"a database is {' or '.join(f'{prefix}...' for prefix in DATABASES)}, or empty for one in memory"
            raise ValueError(msg)
        return value
