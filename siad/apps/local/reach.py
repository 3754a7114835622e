"""Where the broker and the store of a machine or a plant are, for commands that look into them.

`siad up` leaves a file beside its data that only its owner may read, for the store's keys stand in it. Whoever runs
SIAD elsewhere says the same by the environment, in the names that the stages read.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape

from siad.contracts.errors import ConflictError, MissingError, TransientError
from siad.runtime.blobs.open import open_blobs
from siad.runtime.blobs.port import Blobs
from siad.runtime.blobs.settings import StoreSettings
from siad.runtime.bus.open import open_bus
from siad.runtime.bus.port import Bus
from siad.runtime.bus.settings import BusSettings

REACH_FILE: Final = "reach.json"
PREFIXES: Final = ("SIAD_BUS_", "SIAD_STORE_")


@dataclass(frozen=True, slots=True)
class PlantConnection:
    """The broker (connects with its first use) and the store (did answer) of one machine or plant."""

    bus: Bus
    blobs: Blobs


def reach(data: Path, *, env: Mapping[str, str] = os.environ) -> PlantConnection:
    """Open the broker and the store of the `siad up` on ``data``, or those that the environment names.

    Raises:
        FileNotFoundError: nothing runs on ``data``, and the environment does not name both.
        ValueError: a setting is wrong, or the environment names another place than ``data`` runs with.
        TransientError: the store is unavailable, or denies access (DeniedError).
        MissingError: there is no such bucket.
        PermissionError: another user started what runs on ``data``.
    """
    settings = reach_settings(data, env=env)
    store = {name: value for name, value in settings.items() if name.startswith("SIAD_STORE_")}
    with _refused_settings():
        return PlantConnection(_open_bus(settings), open_blobs(StoreSettings.of(store)))


def reach_bus(data: Path, *, env: Mapping[str, str] = os.environ) -> Bus:
    """Open the broker that SIAD_BUS_BOOTSTRAP names, else the one of the `siad up` on ``data``; needs no store.

    Raises:
        FileNotFoundError: `siad up` does not run on ``data``, and SIAD_BUS_BOOTSTRAP is not set.
        ValueError: a setting is invalid.
        PermissionError: another user started `siad up` on ``data``.
    """
    settings = _of_reach(env) if "SIAD_BUS_BOOTSTRAP" in env else reach_settings(data, env={})
    with _refused_settings():
        return _open_bus(settings)


def _open_bus(settings: Mapping[str, str]) -> Bus:
    prefix = "SIAD_BUS_"
    named = {name.removeprefix(prefix).lower(): value for name, value in settings.items() if name.startswith(prefix)}
    return open_bus(BusSettings.model_validate(named))


@contextmanager
def _refused_settings() -> Iterator[None]:
    try:
        yield
    except ValidationError as error:
        words = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_input=False)]
        msg = f"settings of broker or store refused, nothing was opened. {'; '.join(words)}"
        raise ValueError(msg) from None  # pydantic's own message shows secrets


def reach_settings(data: Path, *, env: Mapping[str, str]) -> dict[str, str]:
    """The ``SIAD_BUS_*`` and ``SIAD_STORE_*`` to go by: all of the environment where it names both, else the file's.

    They are never mixed: letters of one plant must not be looked for in the store of another.

    Raises:
        FileNotFoundError: there is neither.
        ValueError: the environment names one of them, and not as the file does.
        PermissionError: the file is another user's.
    """
    said = _of_reach(env)
    if "SIAD_STORE_BUCKET" in said and any(name.startswith("SIAD_BUS_") for name in said):
        return said
    path = data / REACH_FILE
    try:
        kept: dict[str, str] = json.loads(path.read_text())
    except FileNotFoundError as error:
        msg = (
            f"nothing runs on {data}: {path} is not there. Start it with `siad up`, name its folder with --data, or "
            f"set SIAD_BUS_* and SIAD_STORE_* as the stages have them (set now: {', '.join(sorted(said)) or 'none'})"
        )
        raise FileNotFoundError(msg) from error
    except PermissionError as error:
        msg = f"{path} holds the store's keys and is for the user alone who ran `siad up`; run this as that user"
        raise PermissionError(msg) from error
    if odd := sorted(name for name, value in said.items() if kept.get(name) != value):
        msg = (
            f"{', '.join(odd)} in the environment is not what runs on {data}; nothing was opened. Unset it, or set "
            "all of SIAD_BUS_* and SIAD_STORE_*"
        )
        raise ValueError(msg)
    return kept


def write_reach(data: Path, env: Mapping[str, str]) -> None:
    """Leave word in ``data`` of where broker and store are; only this user may read it.

    Args:
        data: the machine's folder.
        env: what the stages get; all but broker and store is left out.
    """
    path = data / REACH_FILE
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(json.dumps(_of_reach(env), indent=2) + "\n")
    new.replace(path)


def forget_reach(data: Path) -> None:
    """Nothing runs on ``data`` any more."""
    (data / REACH_FILE).unlink(missing_ok=True)


@contextmanager
def told_failures() -> Iterator[None]:
    """Tell what went wrong in a line, without a traceback; the command ends with 1."""
    try:
        yield
    except (TransientError, MissingError, ConflictError, OSError, ValueError, LookupError) as error:
        Console(stderr=True).print(f"[red]{escape(str(error))}", highlight=False, soft_wrap=True)
        raise typer.Exit(1) from error


def _of_reach(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name.startswith(PREFIXES)}
