"""Settings of every stage, checked before any process starts.

A stage that refuses its settings would end at its start, minutes after broker, store and Ray were started for it.
"""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Final
from urllib.parse import urlsplit

from services.console.settings import ConsoleSettings
from services.inference.settings import InferenceSettings
from services.ingest.settings import IngestSettings
from services.labeler.settings import LabelerSettings
from services.trainer.settings import TrainerSettings
from siad.apps.local.ports import PortRequest
from siad.runtime.access.settings import AccessSettings
from siad.runtime.blobs.settings import StoreSettings
from siad.runtime.bus.settings import BusSettings
from siad.runtime.settings import Settings, StageSettings, without_effect

STAGES: Final[Mapping[str, type[StageSettings]]] = {
    "ingest": IngestSettings,
    "labeler": LabelerSettings,
    "console": ConsoleSettings,
    "trainer": TrainerSettings,
    "inference": InferenceSettings,
}
KINDS: Final[tuple[type[Settings], ...]] = (*STAGES.values(), BusSettings, StoreSettings, AccessSettings)
BUS, BUCKET, SCORER_URL = "SIAD_BUS_BOOTSTRAP", "SIAD_STORE_BUCKET", "SIAD_LABELER_SCORER_URL"
SCORER_PORT: Final = "SIAD_LABELER_SCORER_PORT"
# Values of settings that the machine sets itself, in the same form, for the check.
_OWN: Final[Mapping[str, str]] = {BUS: "127.0.0.1:9092", BUCKET: "siad", SCORER_URL: "http://127.0.0.1:8401"}
# Settings of a store of the user; the store that `siad up` starts has its own.
_STORE_ADDRESS: Final = tuple(
    f"SIAD_STORE_{name}" for name in ("ENDPOINT_URL", "ACCESS_KEY", "SECRET_KEY", "CREATE_BUCKET")
)
_STORE_CREATED: Final = ("SIAD_STORE_CREATE_BUCKET", "true")  # as the store that is started here has it


def check_settings(
    env: Mapping[str, str], extra: Mapping[str, str], notify: Callable[[str], None]
) -> dict[str, StageSettings]:
    """Check the settings that the stages will get; return them by stage.

    Args:
        env: the environment.
        extra: settings that the command sets over it.
        notify: is told about settings without effect.

    Raises:
        ValueError: names every refused setting of every stage.
    """
    env = upper_names(env)
    problems, loaded = [*_conflicts(env)], {}
    for kind in KINDS:
        try:
            loaded[kind] = kind.load({**_OWN, **env, **extra})
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise ValueError("\n".join(problems))
    for text in describe_without_effect(env):
        notify(f"warning: {text}")
    for name, value in extra.items():
        if env.get(name, value) != value:
            notify(f"warning: {name}={env[name]} has no effect here: this command sets it to {value}")
    return {name: settings for name, kind in STAGES.items() if isinstance(settings := loaded[kind], kind)}


def describe_without_effect(env: Mapping[str, str]) -> list[str]:
    """Name what looks like a setting and is none, with the nearest."""
    known, found = [name for kind in KINDS for name in kind.names()], []
    for name in without_effect(env):
        nearest = get_close_matches(name, known, n=1)
        meant = f"; did you mean {nearest[0]}?" if nearest else "; docs/reference.md lists all settings"
        found.append(f"{name} is no setting and has no effect{meant}")
    return found


def upper_names(env: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of an environment, with upper-case names."""
    return {name.upper(): value for name, value in env.items() if name.upper().startswith("SIAD_")}


def _conflicts(env: Mapping[str, str]) -> list[str]:
    """Settings of servers that `siad up` starts itself."""
    found = []
    if SCORER_URL in env:
        found.append(
            f"{SCORER_URL}={env[SCORER_URL]} is set, but a scorer is started here; nothing was started. Unset it; "
            f"{SCORER_PORT} sets the port"
        )
    named = [name for name in _STORE_ADDRESS if name in env and (name, env[name].lower()) != _STORE_CREATED]
    if named and BUCKET not in env:
        found.append(
            f"{', '.join(named)} set without {BUCKET}: a store would be started here and they would have no effect; "
            f"nothing was started. Set {BUCKET} to use your store, or unset them"
        )
    return found


def port_requests(
    env: Mapping[str, str], settings: Mapping[str, StageSettings], preferred: Mapping[str, int]
) -> dict[str, PortRequest]:
    """Read which ports the settings request.

    Args:
        env: the environment.
        settings: of each stage, as ``check_settings`` returns them.
        preferred: port of each stage and the scorer where the environment names none.
    """
    named, requests = upper_names(env), {}
    for name, port in preferred.items():
        if name == "scorer":
            labeler = settings["labeler"]
            assert isinstance(labeler, LabelerSettings)
            setting, fixed, host = SCORER_PORT, labeler.scorer_port, "127.0.0.1"
        else:
            stage = settings[name]
            setting, fixed, host = f"SIAD_{name.upper()}_HTTP_PORT", stage.http_port, stage.http_host
        requests[name] = PortRequest(
            setting=setting, preferred=port, fixed=fixed if setting in named else None, host=host
        )
    return requests


def client_url(host: str, port: int) -> str:
    """Address at which this machine reaches a server that listens on ``host``."""
    if host in ("0.0.0.0", "localhost"):  # noqa: S104 - compared, not listened on
        host = "127.0.0.1"
    elif host == "::":
        host = "::1"
    return urlsplit(f"http://{f'[{host}]' if ':' in host else host}:{port}").geturl()
