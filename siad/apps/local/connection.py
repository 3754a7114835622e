"""Addresses of broker and store, for commands that read them directly.

`siad up` writes them to ``reach.json`` in its data folder, readable only by its owner because the file holds the
store's keys. Elsewhere the environment gives them, by the same names that the stages read.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from siad.apps.local.data_folder import describe_absence, is_in_use
from siad.apps.local.private_file import write_private
from siad.runtime.blobs.open import open_blobs
from siad.runtime.blobs.port import Blobs
from siad.runtime.blobs.settings import StoreSettings
from siad.runtime.bus.open import open_bus
from siad.runtime.bus.port import Bus
from siad.runtime.bus.settings import BusSettings
from siad.runtime.validation import plain_reason

CONNECTION_FILE: Final = "reach.json"
BUS, STORE = "SIAD_BUS_", "SIAD_STORE_"
BUS_ADDRESS, BUCKET = "SIAD_BUS_BOOTSTRAP", "SIAD_STORE_BUCKET"


@dataclass(frozen=True, slots=True)
class PlantConnection:
    """Broker (connects on first use) and store (reached) of a plant."""

    bus: Bus
    blobs: Blobs


def connect(data: Path, *, env: Mapping[str, str] = os.environ) -> PlantConnection:
    """Open broker and store of the `siad up` or the environment.

    Raises:
        FileNotFoundError: `siad up` does not run on ``data``, and the environment does not name both.
        ValueError: a setting is invalid, or the environment contradicts the `siad up` on ``data``.
        TransientError: the store is unavailable.
        MissingError: the bucket does not exist.
        DeniedError: the store denies access with these keys.
        PermissionError: another user started the `siad up` on ``data``.
    """
    settings = connection_settings(data, env=env)
    store = {name: value for name, value in settings.items() if name.startswith(STORE)}
    with _without_secrets():
        return PlantConnection(open_bus(_bus_settings(settings)), open_blobs(StoreSettings.of(store)))


def connect_bus(data: Path, *, env: Mapping[str, str] = os.environ) -> Bus:
    """Open the broker alone.

    The one of SIAD_BUS_BOOTSTRAP, else of the `siad up` on ``data``.

    Raises:
        FileNotFoundError: SIAD_BUS_BOOTSTRAP is not set, and `siad up` does not run on ``data``.
        ValueError: a setting is invalid.
        PermissionError: another user started the `siad up` on ``data``.
    """
    with _without_secrets():
        return open_bus(_bus_settings(_from_environment(env) if BUS_ADDRESS in env else _read_settings(data, env)))


def bus_settings(data: Path, *, env: Mapping[str, str] = os.environ) -> BusSettings:
    """Read the broker settings that ``connect`` uses; raises like ``connection_settings``."""
    with _without_secrets():
        return _bus_settings(connection_settings(data, env=env))


def connection_settings(data: Path, *, env: Mapping[str, str]) -> dict[str, str]:
    """Choose the settings of broker and store.

    Those of the environment if it names both, else those of the file.

    The two sources are never mixed: dead letters of one plant must not be looked up in the store of another.

    Raises:
        FileNotFoundError: the environment does not name both, and `siad up` does not run on ``data``.
        ValueError: the environment names one of them, with another value than the file.
        PermissionError: the file belongs to another user.
    """
    from_environment = _from_environment(env)
    if BUCKET in from_environment and any(name.startswith(BUS) for name in from_environment):
        return from_environment
    from_file = _read_settings(data, env)
    if different := sorted(name for name, value in from_environment.items() if from_file.get(name) != value):
        msg = (
            f"{', '.join(different)} in the environment differs from the `siad up` on {data}; nothing was opened. "
            "Unset it, or set all of SIAD_BUS_* and SIAD_STORE_*"
        )
        raise ValueError(msg)
    return from_file


def write_connection(data: Path, env: Mapping[str, str]) -> None:
    """Write the connection settings to ``data``, readable only by this user.

    Args:
        data: the machine's data folder.
        env: the environment of the stages; other variables are left out.
    """
    write_private(data / CONNECTION_FILE, json.dumps(_from_environment(env), indent=2) + "\n")


def remove_connection(data: Path) -> None:
    """Remove the file once broker and store have stopped."""
    (data / CONNECTION_FILE).unlink(missing_ok=True)


def _read_settings(data: Path, env: Mapping[str, str]) -> dict[str, str]:
    path = data / CONNECTION_FILE
    try:
        settings: dict[str, str] = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError) as error:
        names = ", ".join(sorted(_from_environment(env))) or "none"
        if is_in_use(data):
            raise FileNotFoundError(describe_absence(data, path)) from error
        msg = (
            f"`siad up` does not run on {data}: {path} does not exist. Start `siad up`, name its folder with --data, "
            f"or set SIAD_BUS_* and SIAD_STORE_* as the stages have them (set now: {names})"
        )
        raise FileNotFoundError(msg) from error
    except ValueError as error:
        msg = f"{path} is damaged; nothing was opened. Stop `siad up` and start it again"
        raise ValueError(msg) from error
    except PermissionError as error:
        msg = f"{path} can't be read: it holds the store's keys, for the user who ran `siad up`; run this as that user"
        raise PermissionError(msg) from error
    return settings


def _from_environment(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name.startswith((BUS, STORE))}


def _bus_settings(settings: Mapping[str, str]) -> BusSettings:
    named = {name.removeprefix(BUS).lower(): value for name, value in settings.items() if name.startswith(BUS)}
    return BusSettings.model_validate(named)


@contextmanager
def _without_secrets() -> Iterator[None]:
    """Replace pydantic's error message, which shows secrets."""
    try:
        yield
    except ValidationError as error:
        reasons = [
            f"{'.'.join(map(str, one['loc']))}: {plain_reason(one['msg'])}" for one in error.errors(include_input=False)
        ]
        msg = f"settings of broker or store are invalid, nothing was opened. {'; '.join(reasons)}"
        raise ValueError(msg) from None
