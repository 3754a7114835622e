"""Settings of the environment: unknown names, refused values, contradictions."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from siad.apps.local.connection import connection_settings
from siad.apps.local.doctor.findings import Finding, fault, ok, warning
from siad.apps.local.stage_settings import check_settings, describe_without_effect, upper_names
from siad.runtime.bus.settings import EMBEDDED

CHECK: Final = "settings"
CONSOLE_KEY: Final = "SIAD_CONSOLE_INGEST_KEY"


def check_environment(data: Path, env: Mapping[str, str]) -> list[Finding]:
    """Check what the stages would read from this environment."""
    found = [
        warning(CHECK, text, effect="the default stays in force", remedy="correct the name, or unset it")
        for text in describe_without_effect(env)
    ]
    try:
        check_settings(env, {}, lambda _: None)
    except ValueError as error:
        found += [
            fault(CHECK, text, effect="a stage with this setting does not start", remedy="correct or unset it")
            for text in str(error).splitlines()
        ]
    try:
        settings = connection_settings(data, env=env)
    except FileNotFoundError:
        settings = dict(env)  # reported where the connection is opened
    except (OSError, ValueError) as error:
        found.append(fault(CHECK, str(error), effect="commands open no broker and no store", remedy="correct it"))
        settings = dict(env)
    found += check_copies(settings)
    found += check_console_key(env)
    return found or [ok(CHECK, "no unknown, refused or contradictory SIAD_* setting in this environment")]


def check_copies(settings: Mapping[str, str]) -> list[Finding]:
    """Compare the copies that topics have with those that a message needs."""
    copies, needed = (
        _number(settings.get(name), 1) for name in ("SIAD_BUS_REPLICATION", "SIAD_BUS_MIN_INSYNC_REPLICAS")
    )
    found = []
    if needed > copies:
        found.append(
            fault(
                CHECK,
                f"SIAD_BUS_MIN_INSYNC_REPLICAS={needed} is more than SIAD_BUS_REPLICATION={copies}",
                effect="the broker acknowledges nothing on new topics: no image of any line is accepted",
                remedy="raise SIAD_BUS_REPLICATION, or lower SIAD_BUS_MIN_INSYNC_REPLICAS",
            )
        )
    if copies > 1 and settings.get("SIAD_BUS_BOOTSTRAP", "").startswith(EMBEDDED):
        found.append(
            warning(
                CHECK,
                f"SIAD_BUS_REPLICATION={copies} has no effect on the embedded bus",
                effect="there is one copy of the events, on one disk",
                remedy="use Kafka, or unset it",
            )
        )
    return found


def check_console_key(env: Mapping[str, str]) -> list[Finding]:
    """Warn where credentials are required and the console has none for ingest."""
    named = upper_names(env)
    if named.get("SIAD_AUTH") != "required" or named.get(CONSOLE_KEY):
        return []
    return [
        warning(
            CHECK,
            f"SIAD_AUTH=required, and {CONSOLE_KEY} is not set",
            effect="on the console's page, lines can't be changed nor images imported: ingest refuses them (502)",
            remedy=f"siad key create console --scope admin; set {CONSOLE_KEY} to the key it prints; start the console "
            "(or siad up) again",
        )
    ]


def _number(text: str | None, default: int) -> int:
    return int(text) if text is not None and text.isdecimal() else default
